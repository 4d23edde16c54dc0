"""AllenNLP's own ELMo as an encoder."""
