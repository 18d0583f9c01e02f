"""What runs in the child process: manuals of every kind to pages of plain text."""
