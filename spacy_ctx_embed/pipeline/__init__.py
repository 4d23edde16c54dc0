"""The spaCy component and its factories."""
