"""What a record says, one part a file."""
