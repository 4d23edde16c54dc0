"""From segments to one matrix per layer, in plain PyTorch."""
