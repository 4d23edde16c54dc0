"""What goes into a ``tok2vec`` slot: spaCy's components learn from rows through it."""
