"""What is committed to disk as it is made, and found again."""
