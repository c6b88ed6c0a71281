"""Bench: how full the engine is kept.

    python -m tests.bench.engine [--images 1500] [--runs 3]

First the real vLLM with the shapes model: captions a second of the whole pipeline (feed, Redis,
worker, sink on this machine) against a bare AsyncLLM that is fed from memory, same model, same
arguments, same number of requests at once. Then the simulated engine (64 slots, 0.2 to 1.2 s a
caption): the share of time in which a slot was free while samples waited.
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
from typing import Any

from tests.bench.images import jpeg_folder
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned
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

        def completed() -> int:
            answer = server.cli("HGET", f"cf:{{{JOB}:0}}:counts", "completed").strip()
            return int(answer) if answer.isdigit() else 0

        roles.wait_until(lambda: completed() >= WARM)
        begun, first = time.monotonic(), completed()
        roles.wait_until(lambda: completed() == count)
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


def occupancy(folder: Path, count: int, place: Path) -> dict[str, float]:
    """Shares of time with a free slot while samples waited, as the worker measures them."""
    settings = [
        "engine=simulated",
        f"vllm.batch_size={REQUESTS}",
        f"simulated.slots={REQUESTS}",
        "simulated.latency=[0.2, 1.2]",
    ]
    changes = [word for setting in settings for word in ("--set", setting)]
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        roles.start("feed", "feed", str(folder), *common, *changes)
        roles.wait()  # all samples wait before the worker comes
        roles = Processes(place / "logs")
        roles.start("worker", "worker", *common, "--exit-when-done")
        roles.start("sink", "sink", *common, "--exit-when-done", "--data-dir", str(place / "out"))
        shares: dict[str, float] = {}

        def all_claimed() -> bool:
            waiting, figures = _waiting(server), _worker_figures(server)
            if waiting > 0 and figures:
                shares.update(figures)
            return waiting == 0

        roles.wait_until(all_claimed)
        roles.wait_until(lambda: captioned(server, JOB) == count)
        roles.wait()
    return {name: shares[name] for name in ("free_share", "idle_share")}


def _waiting(server: RedisServer) -> int:
    stream = f"cf:{{{JOB}:0}}:samples:caption"
    length = int(server.cli("XLEN", stream))
    if server.cli("EXISTS", stream).strip() != "1":
        return length
    groups = server.cli("XPENDING", stream, "workers").split()
    return length - int(groups[0]) if groups and groups[0].isdigit() else length


def _worker_figures(server: RedisServer) -> dict[str, float]:
    words = server.cli("HVALS", f"cf:{{{JOB}}}:members").splitlines()
    members = [json.loads(word) for word in words if word.strip()]
    return next((m["figures"] for m in members if m["role"] == "worker"), {})


def main() -> None:
    """Print the runs as JSON and their medians as lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()

    drawn = given.cache / f"shapes-{given.images}"
    if not drawn.exists():
        draw = [sys.executable, str(ROOT / "examples/shapes/draw.py"), str(drawn)]
        subprocess.run([*draw, "--count", str(given.images), "--seed", "99"], check=True)
    runs: list[dict[str, Any]] = []
    for number in range(given.runs):
        place = Path(tempfile.mkdtemp(prefix=f"bench-{number}-"))
        bare = bare_rate(drawn, given.images)
        pipeline = pipeline_rate(drawn, given.images, place / "vllm")
        photos = jpeg_folder(given.cache, 3000, 16_384)
        shares = occupancy(photos, 3000, place / "simulated")
        runs.append({"pipeline": pipeline, "bare": bare, "ratio": pipeline / bare, **shares})
        shutil.rmtree(place)
    print(json.dumps({"bench": "engine", "images": given.images, "runs": runs}))
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    print(
        f"engine: pipeline {medians['pipeline']:.0f} captions/s, bare AsyncLLM "
        f"{medians['bare']:.0f}, ratio {medians['ratio']:.2f}"
    )
    print(
        f"occupancy: a slot was free {medians['free_share']:.2%} of the time, "
        f"{medians['idle_share']:.2%} while the worker held a sample for it"
    )


if __name__ == "__main__":
    main()
