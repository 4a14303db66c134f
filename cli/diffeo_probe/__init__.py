"""The command `diffeo-probe`."""
