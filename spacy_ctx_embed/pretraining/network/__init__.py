"""What only training needs of an ELMo language model: an LSTM with a backward pass of its own, and softmaxes."""
