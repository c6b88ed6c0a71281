"""Fixtures: a user's desk, for one test or for a module."""

from tests.e2e.conftest import desk, shared_desk

__all__ = ["desk", "shared_desk"]
