"""bilm-tf's HDF5 files, which AllenNLP publishes too: read and written."""
