"""ELMo as AllenNLP writes it."""
