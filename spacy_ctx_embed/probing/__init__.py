"""Which layers of a frozen encoder serve a task: one training per choice, and a paired test of the differences."""
