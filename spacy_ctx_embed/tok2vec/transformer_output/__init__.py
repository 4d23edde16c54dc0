"""Rows from a transformer component of another package."""
