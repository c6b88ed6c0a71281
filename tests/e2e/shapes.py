"""What the tests with the real vLLM share: the model of examples/shapes, and images it knows."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import require
from tests.e2e.desk import Running, wait_until

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "examples" / "shapes"
LOADING = 300.0  # seconds that an engine may take to start
# On a CPU, vLLM has a process more than on a GPU: the model's, beside the engine's. Where a test
# does not look at processes they are one, and a third less is to load.
ONE_PROCESS = {"distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor"}


@pytest.fixture(autouse=True, scope="module")
def means() -> None:
    """What these tests need."""
    require(find_spec("vllm"), "vLLM")
    require((SHAPES / "model" / "model.safetensors").is_file(), "the model of examples/shapes")


def variables(arguments: dict[str, str]) -> dict[str, str]:
    """These arguments of vLLM, as the variables of one worker alone."""
    return {f"CAPTION_FLOW_VLLM__{name.upper()}": value for name, value in arguments.items()}


def right(found: list[dict[str, Any]], truth: dict[str, str]) -> float:
    """The share of captions that are true to the letter."""
    return sum(row["captions"] == [truth[row["id"]]] for row in found) / len(truth)


def draw_shapes(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Draw images with the repository's own program; answers the truth about each."""
    program = [sys.executable, SHAPES / "draw.py", folder]
    subprocess.run(
        [*program, "--count", str(count), "--seed", str(seed), "--side", "0"],
        check=True,
        capture_output=True,
    )
    truth: dict[str, str] = json.loads((folder / "captions.json").read_text())
    return truth


def hand_over(drawn: Path, images: Path, count: int) -> None:
    """Let the first images be among those to caption."""
    images.mkdir(exist_ok=True)
    for path in sorted(drawn.glob("[0-9]*"))[:count]:
        shutil.copyfile(path, images / path.name)


def wait_for_engine(worker: Running) -> None:
    wait_until(lambda: worker.ended or "Captioning with" in worker.err, "an engine", LOADING)
    assert not worker.ended, worker.err
