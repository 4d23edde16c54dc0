"""Commands that make a model or say what there is."""
