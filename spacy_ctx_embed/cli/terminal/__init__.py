"""What all commands share at the terminal: errors as a user should see them, and folders that appear whole."""
