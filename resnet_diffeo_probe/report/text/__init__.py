"""Words, numbers and states as people read them."""
