"""Bench: real vLLM, captions of 10 to 200 tokens: the pipeline against the engine alone and others.

    python -m tests.bench.lengths [--images 1000] [--runs 3] [--only pipeline bare …]

The shapes model on the same drawn images, the same arguments and 64 requests at once, for all:
the whole pipeline (feed, Redis, worker, sink on this machine); a bare AsyncLLM with images decoded
in memory; `LLM.generate` in batches of 64, each of which waits for its longest caption; and a loop
over a webdataset into AsyncLLM, written by hand. How long a caption is goes by a digest of the
image, so that all write the same lengths: a hook of this bench, see `lengths_worker`.

Measured is from 100 captions on, when the engine is warm, until the last. CPU seconds are those of
that time: of the process that feeds the engine, and of the engine's own; of the pipeline, those of
feed, sink and Redis too.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import webdataset

from tests.bench.engine import ARGUMENTS, JOB, MODEL, REQUESTS, ROOT
from tests.bench.roles import (
    REDIS_OPTIONS,
    Processes,
    captioned,
    completed,
    cpu_seconds,
    redis_use,
    worker_figures,
)
from tests.bench.tree import Tree
from tests.redis_server import RedisServer

WARM = 100
SHORTEST, LONGEST = 10, 200  # tokens
WAYS = ("bare", "pipeline", "barrier", "webdataset")


def length_of(data: bytes) -> int:
    """Say how many tokens the caption of an image has."""
    drawn = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")
    return SHORTEST + drawn % (LONGEST - SHORTEST + 1)


def images_in(folder: Path) -> list[Path]:
    """The drawn images, without what stands beside them."""
    return [p for p in sorted(folder.rglob("*")) if p.suffix in {".jpg", ".png", ".webp"}]


def tar_of(folder: Path) -> Path:
    """The same images as one tar, made unless it is there."""
    tar = folder.with_suffix(".tar")
    if not tar.exists():
        with webdataset.TarWriter(str(tar)) as writer:
            for path in images_in(folder):
                writer.write({"__key__": path.stem, "image": path.read_bytes()})
    return tar


def through_pipeline(folder: Path, count: int) -> dict[str, Any]:
    """Caption all with the pipeline; answers what the engine's loops answer."""
    settings = {
        "vllm.model": MODEL,
        "vllm.batch_size": REQUESTS,
        "vllm.sampling.temperature": 0,
        "vllm.sampling.repetition_penalty": 1.0,
        "vllm.sampling.stop": "[]",
        **{f"vllm.{name}": value for name, value in ARGUMENTS.items()},
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    place = Path(tempfile.mkdtemp(prefix="bench-lengths-"))
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        roles = Processes(place / "logs")
        common = ("--redis", server.url, "--job", JOB)
        out = ("--data-dir", str(place / "out"))
        module = "tests.bench.lengths_worker"
        roles.start("worker", "worker", *common, "--exit-when-done", module=module)
        roles.start("sink", "sink", *common, *out, "--exit-when-done")
        roles.start("feed", "feed", str(folder), *common, *changes, *out)

        def used() -> dict[str, float]:
            own, engine = tree.seconds()
            rest = {name: cpu_seconds(roles.pids[name]) for name in ("feed", "sink")}
            return {"front": own, "engine": engine, "redis": redis_use(server)["cpu_s"], **rest}

        with Tree(roles.pids["worker"]) as tree:
            roles.wait_until(lambda: completed(server, JOB) >= WARM)
            before, begun, first = used(), time.monotonic(), completed(server, JOB)
            roles.wait_until(lambda: completed(server, JOB) >= count - REQUESTS)
            figures = worker_figures(server, JOB)
            roles.wait_until(lambda: completed(server, JOB) == count)
            seconds, after = time.monotonic() - begun, used()
        roles.wait_until(lambda: captioned(server, JOB) == count)
        roles.wait()
    shutil.rmtree(place)
    cpu = {part: round(after[part] - before[part], 2) for part in after}
    captions = count - first
    lately = {name: figures[name] for name in ("free_lately", "idle_lately", "in_flight")}
    told = {"captions_per_s": captions / seconds, "cpu_s": cpu, "worker_mib": tree.used.peak_mib}
    return told | lately | _per_1000(cpu, captions)


def by_itself(way: str, folder: Path) -> dict[str, Any]:
    """Go one of the other ways, in a process of its own as the worker is."""
    given = tar_of(folder) if way == "webdataset" else folder
    command = [sys.executable, "-m", "tests.bench.lengths_engine", way, str(given)]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True)
    # vLLM writes lines of its own there, before and after.
    line = next(line for line in done.stdout.splitlines() if line.startswith('{"captions"'))
    told: dict[str, Any] = json.loads(line)
    return told | _per_1000(told["cpu_s"], told.pop("captions"))


def _per_1000(cpu: Mapping[str, float], captions: int) -> dict[str, float]:
    """CPU seconds of all parts; these stay the same when other work slows a machine."""
    return {"cpu_per_1000": round(1000 * sum(cpu.values()) / captions, 1)}


def one_run(folder: Path, count: int, ways: list[str]) -> dict[str, Any]:
    """Go each way once."""
    found: dict[str, Any] = {
        way: through_pipeline(folder, count) if way == "pipeline" else by_itself(way, folder)
        for way in ways
    }
    rates = {way: told["captions_per_s"] for way, told in found.items()}
    if "pipeline" in rates:
        ours = rates["pipeline"]
        found["ratios"] = {way: ours / rate for way, rate in rates.items() if way != "pipeline"}
    return found


def main() -> None:
    """Print the runs as JSON and the medians as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = given.cache / f"shapes-{given.images}"
    if not folder.exists():
        draw = [sys.executable, str(ROOT / "examples/shapes/draw.py"), str(folder)]
        subprocess.run(
            [*draw, "--count", str(given.images), "--seed", "99"], check=True, stdout=sys.stderr
        )
    # Each goes first in turn: machines grow warm.
    turns = [n % len(given.only) for n in range(given.runs)]
    orders = [given.only[turn:] + given.only[:turn] for turn in turns]
    runs = [one_run(folder, given.images, order) for order in orders]
    print(json.dumps({"bench": "lengths", "images": given.images, "runs": runs}))
    said = ", ".join(
        f"{way} {_median(runs, way, 'captions_per_s'):.1f} captions/s "
        f"({_median(runs, way, 'cpu_per_1000'):.1f} CPU s for 1,000)"
        for way in given.only
    )
    ratios = ", ".join(
        f"{_median(runs, 'ratios', way):.2f} of {way}" for way in runs[0].get("ratios", {})
    )
    print(f"lengths, {SHORTEST} to {LONGEST} tokens: {said}; the pipeline is {ratios}")


def _median(runs: Sequence[Mapping[str, Any]], part: str, key: str) -> float:
    return statistics.median(run[part][key] for run in runs)


if __name__ == "__main__":
    main()
