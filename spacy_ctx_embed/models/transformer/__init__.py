"""Hugging Face models as folders and hub repositories."""
