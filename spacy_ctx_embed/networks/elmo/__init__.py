"""The biLM: characters to words, words to layers."""
