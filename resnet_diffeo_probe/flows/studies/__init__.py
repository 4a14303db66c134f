"""What happens to the maps as depth, step and noise change."""
