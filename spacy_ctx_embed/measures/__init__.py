"""Measures of vectors and of the space that they are in: plain NumPy, and the streams of layers that feed them."""
