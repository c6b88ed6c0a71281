"""The tests, and what they share."""

import os

import pytest


def require(condition: object, what: str) -> None:
    """Skip a test whose means are missing at a desk; where CI is set, they must be there."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"needs {what}")
