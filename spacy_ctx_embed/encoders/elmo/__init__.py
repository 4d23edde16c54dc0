"""biLM vectors in sentence context."""
