"""Bench: how full the engine is kept.

    python -m tests.bench.engine [--images 1500] [--runs 3] [--only vllm|simulated]

First the real vLLM with the shapes model: captions a second of the whole pipeline (feed, Redis,
worker, sink on this machine) against a bare AsyncLLM that is fed from memory, same model, same
arguments, same number of requests at once. Then the simulated engine, as it gives 50, 200 and 1,000
captions a second (see tests/bench/occupancy.py): the share of its slots that was idle.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import occupancy
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned, completed
from tests.redis_server import RedisServer

JOB = "bench"
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples/shapes/model"
REQUESTS = 64
ARGUMENTS = {"max_model_len": 512, "gpu_memory_utilization": 0.2, "enforce_eager": True}
PROMPT = "Describe the image."
WARM = 200  # captions before the measuring begins


def pipeline_rate(folder: Path, count: int, place: Path) -> float:
    """Captions a second of the whole pipeline, once the engine is warm."""
    settings = {
        "vllm.model": MODEL,
        "vllm.batch_size": REQUESTS,
        "vllm.sampling.temperature": 0,
        "vllm.sampling.max_tokens": 32,
        **{f"vllm.{name}": value for name, value in ARGUMENTS.items()},
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        out = ("--data-dir", str(place / "out"))
        roles.start("feed", "feed", str(folder), *common, *changes, *out)
        roles.start("worker", "worker", *common, "--exit-when-done")
        roles.start("sink", "sink", *common, *out, "--exit-when-done")

        roles.wait_until(lambda: completed(server, JOB) >= WARM)
        begun, first = time.monotonic(), completed(server, JOB)
        roles.wait_until(lambda: completed(server, JOB) == count)
        rate = (count - first) / (time.monotonic() - begun)
        roles.wait_until(lambda: captioned(server, JOB) == count)
        roles.wait()
    return rate


def bare_rate(folder: Path, count: int) -> float:
    """Captions a second of a bare AsyncLLM, in a process of its own as the worker is."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench.bare_engine", str(folder), str(count)],
        check=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ).stdout
    return float(answer.splitlines()[-1])


def main() -> None:
    """Print the runs as JSON and their medians as lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    parser.add_argument("--only", choices=("vllm", "simulated"))
    given = parser.parse_args()
    if given.only != "simulated":
        against_bare(given.cache, given.images, given.runs)
    if given.only != "vllm":
        occupancy.tell(given.cache, given.runs)


def against_bare(cache: Path, images: int, runs: int) -> None:
    """Measure the pipeline with vLLM against vLLM alone."""
    drawn = cache / f"shapes-{images}"
    if not drawn.exists():
        draw = [sys.executable, str(ROOT / "examples/shapes/draw.py"), str(drawn)]
        subprocess.run(
            [*draw, "--count", str(images), "--seed", "99"], check=True, stdout=sys.stderr
        )
    found: list[dict[str, float]] = []
    for number in range(runs):
        place = Path(tempfile.mkdtemp(prefix=f"bench-{number}-"))
        bare = bare_rate(drawn, images)
        pipeline = pipeline_rate(drawn, images, place)
        found.append({"pipeline": pipeline, "bare": bare, "ratio": pipeline / bare})
        shutil.rmtree(place)
    print(json.dumps({"bench": "engine", "images": images, "runs": found}))
    medians = {key: statistics.median(run[key] for run in found) for key in found[0]}
    print(
        f"engine: pipeline {medians['pipeline']:.0f} captions/s, bare AsyncLLM "
        f"{medians['bare']:.0f}, ratio {medians['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
