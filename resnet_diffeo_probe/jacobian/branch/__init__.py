"""A branch read as linear parts and elementwise stages."""
