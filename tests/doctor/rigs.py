"""A host with an engine and a GPU, for the doctor."""

import pytest

from tests.doctor.practice import Practice, Report

LARGE = ("NVIDIA H100 80GB HBM3", 81_559, 81_000)


@pytest.fixture
def rig(practice: Practice) -> Practice:
    """Packages that fit together, and a large GPU."""
    practice.install_vllm()
    return practice


def work(practice: Practice, model: object, *words: object) -> Report:
    return practice.examine("--role", "worker", "--set", f"vllm.model={model}", *words)
