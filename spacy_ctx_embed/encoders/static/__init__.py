"""One vector per word type."""
