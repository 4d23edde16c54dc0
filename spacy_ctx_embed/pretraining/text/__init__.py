"""Text files to the word ids that a language model is trained on."""
