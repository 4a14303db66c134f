"""A unit at an input: products with J, its factorisation, solves."""
