"""What is typed at a command line, and what it prints."""
