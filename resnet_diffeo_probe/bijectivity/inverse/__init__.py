"""The inverse of a unit, and how far it is off."""
