"""Data sets: where samples come from and where captions are kept."""
