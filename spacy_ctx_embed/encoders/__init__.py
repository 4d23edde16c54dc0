"""Encoders: Thinc models from Docs to one row per token, one family a file."""
