"""Bounds that prove a map injective."""
