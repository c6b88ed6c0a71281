"""A proxy under attack: as a program, see __main__; in short, tests/proxy/hostile."""
