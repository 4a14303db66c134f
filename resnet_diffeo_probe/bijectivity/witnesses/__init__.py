"""Two points with one image, checked through the user's own module."""
