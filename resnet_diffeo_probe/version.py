"""The version, where every floor may read it: the package itself announces names of the floors above."""

__all__ = ["__version__"]

__version__ = "0.1.0"
