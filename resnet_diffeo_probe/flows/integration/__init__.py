"""Flows of a field: steppers, the exponential, Jacobians."""
