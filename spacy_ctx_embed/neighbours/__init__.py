"""The nearest rows of an exported corpus to a word in a sentence, a text, or another row."""
