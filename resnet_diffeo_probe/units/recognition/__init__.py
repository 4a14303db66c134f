"""Which additions in a graph are residual units."""
