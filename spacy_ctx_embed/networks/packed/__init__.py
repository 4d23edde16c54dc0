"""Frozen weights in the layouts of oneDNN, float32 and 8-bit."""
