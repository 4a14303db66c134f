"""The paper's networks trained and kept."""
