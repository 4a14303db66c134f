"""`python -m diffeo_probe`."""

from diffeo_probe.main import main

if __name__ == "__main__":
    main()
