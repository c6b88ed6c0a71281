"""Fixtures: a user's desk."""

from tests.e2e.conftest import desk, shared_desk

__all__ = ["desk", "shared_desk"]
