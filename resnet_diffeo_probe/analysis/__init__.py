"""A plan (which units, inputs, measures), its run, and the stored analysis that comes out."""

from resnet_diffeo_probe.analysis.result.schema import SCHEMA_VERSION, read_result, validate, write_result

__all__ = ["SCHEMA_VERSION", "read_result", "validate", "write_result"]
