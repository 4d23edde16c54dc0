"""Commands that measure: layers, mixes, geometry, word pairs, precisions."""
