"""Layers of a frozen encoder for texts seen before: in bounded memory, and on disk across runs and processes."""
