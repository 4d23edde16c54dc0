"""Readers of published formats: each takes a file, and gives a table."""
