"""The stored analysis: its text, schema and checks."""
