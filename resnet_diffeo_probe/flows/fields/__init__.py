"""Velocity fields: architectures, parameters, the spirals they separate."""
