"""The reduced matrix: gathered, ordered, eliminated."""
