"""Tables of word vectors, in every format in which they are published."""
