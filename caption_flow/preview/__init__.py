"""Preview: a few images captioned at once, as a run would, without a queue."""
