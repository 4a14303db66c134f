"""What is measured of a Jacobian: one measure a file."""
