"""From layers of pieces to exactly one row per token: pure functions."""
