"""What every reader reads from: containers, options, and named arrays; and what it gives."""
