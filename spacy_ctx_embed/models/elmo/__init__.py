"""ELMo models: every published format -> configurations and named tensors."""
