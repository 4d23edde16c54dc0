"""Commands over corpora that do not fit into memory."""
