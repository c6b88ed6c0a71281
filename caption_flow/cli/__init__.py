"""Command line: one command a file. Here roles are built; elsewhere they ask for what they need."""
