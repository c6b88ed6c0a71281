"""Tests of what `caption-flow bench` measures, and what it makes of that."""
