"""ELMo as TensorFlow writes it."""
