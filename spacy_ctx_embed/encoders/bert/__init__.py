"""Transformer vectors in document context."""
