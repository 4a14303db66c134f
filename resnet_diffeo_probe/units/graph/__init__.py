"""A forward pass as a graph of plain operations."""
