"""Training of ELMo language models."""
