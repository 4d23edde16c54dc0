"""Rows to where users read them: attributes, hooks, user data."""
