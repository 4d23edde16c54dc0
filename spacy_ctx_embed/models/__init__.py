"""From a model name to files, and from files to arrays."""
