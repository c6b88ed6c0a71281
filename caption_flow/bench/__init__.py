"""Bench: how fast the engine is by itself, which share of that a run gets, and what to change."""
