"""A stored analysis held against another one, or against limits."""
