"""The roles on a real Redis, made brisk."""

from tests.roles import brisk, roles

__all__ = ["brisk", "roles"]
