"""The embedding components of a pipeline, layer by layer, over the Docs of a corpus: for what compares and measures."""
