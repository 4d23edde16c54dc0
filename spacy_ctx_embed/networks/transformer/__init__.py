"""Hugging Face models: which part reads text, how its windows are run so that each has its own rows."""
