"""What a running analysis needs around it: folder, workers, record."""
