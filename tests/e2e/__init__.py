"""Everything from outside: real processes, real signals, a real Redis, files on a real disk."""
