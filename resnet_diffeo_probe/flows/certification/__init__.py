"""Maps of the plane decided by interval arithmetic."""
