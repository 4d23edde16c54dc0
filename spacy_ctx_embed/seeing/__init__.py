"""Pages and pictures of where static, ELMo and BERT vectors agree and differ."""
