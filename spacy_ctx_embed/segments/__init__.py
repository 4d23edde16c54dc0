"""Which tokens are encoded together."""
