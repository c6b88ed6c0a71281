"""The model's processor in another process, with the real vLLM and without an engine."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.shapes import LOADING, ROOT, means

__all__ = ["means"]
pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What became of an image that was prepared here and there."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.engine.preparing.rehearsal"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=LOADING,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_another_process_makes_the_same_inputs(seen: dict[str, Any]):
    assert seen["same"]


def test_a_refusal_elsewhere_is_told_in_the_same_words(seen: dict[str, Any]):
    here, there = seen["errors"]

    assert here == there
