"""Where pairs of points with one image are looked for."""
