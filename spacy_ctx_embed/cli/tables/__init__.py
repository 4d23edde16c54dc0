"""Commands for static tables."""
