"""The command line as it is met before any work begins: help, mistakes, exit codes, waiting."""
