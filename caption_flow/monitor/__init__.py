"""Monitor: what is made of a job's state for people: rates, what limits it, and how it is shown."""
