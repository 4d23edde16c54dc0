"""Commands that this package adds to ``python -m spacy``."""
