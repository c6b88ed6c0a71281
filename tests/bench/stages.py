"""Bench: several prompts or stages on one image at once, against as many passes over the images.

    python -m tests.bench.stages [--images 1500] [--runs 3] [--vllm 300]

The whole pipeline: one feeder, one worker, one sink and one Redis. A run goes through portions of
fresh images with one and the same engine, whose settings are changed in between with
`reload_config`: three stages of one model, each shown the image; one prompt; one stage of three
prompts; one prompt again. A pass over the images is taken to cost what the two portions of one
prompt did, so that the gain is three passes over what all three at once took. The first and last
images of each portion are not counted: the engine fills and empties.

First the simulated engine at stated latencies, which decodes each image of 64 KB; then, with
`--vllm`, the real one with the shapes model and images of 512 pixels a side. The figures are in
docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from tests.bench.engine import ARGUMENTS, MODEL, REQUESTS, ROOT
from tests.bench.images import jpeg_folder
from tests.bench.prompts import PROMPTS, SIDE
from tests.bench.roles import REDIS_OPTIONS, Processes, captioned, completed
from tests.redis_server import RedisServer

JOB = "bench"
LATENCIES = ((0.0, 0.0), (0.02, 0.12), (0.2, 1.2))  # seconds, the least and the most
EDGE = 10  # the tenth of a portion at either end is not counted
# The engine is loaded for several looks at an image, as it keeps what it has prepared only then.
ORDER = ("stages", "alone", "prompts", "alone")
PORTIONS = len(ORDER)


def stages(way: str) -> list[dict[str, Any]]:
    """What a portion asks of each image."""
    if way == "prompts":
        return [{"name": "first", "prompts": PROMPTS}]
    chain = [
        {"name": name, "prompts": [prompt], "requires": earlier}
        for name, prompt, earlier in zip(
            ("first", "second", "third"), PROMPTS, ([], ["first"], ["second"]), strict=True
        )
    ]
    return chain if way == "stages" else chain[:1]


class Bench:
    """A job whose settings change while its worker stays."""

    def __init__(self, server: RedisServer, place: Path, engine: Mapping[str, Any]) -> None:
        self._server = server
        self._common = ("--redis", server.url, "--job", JOB)
        self._place = place
        self._engine = engine
        self._roles = Processes(place / "logs")
        self._images = place / "images"
        self._portions = count()
        self._done = 0  # images
        self._version = 0  # of the settings
        self._way = ""

    def portion(self, way: str, images: Sequence[Path]) -> float:
        """Caption these images in this way; answers the seconds that each took."""
        number = next(self._portions)
        (self._images / str(number)).mkdir(parents=True)
        for path in images:
            os.link(path, self._images / str(number) / path.name)
        document = self._settle_on(way)
        given = (*self._common, *document, "--data-dir", str(self._place / "out"))
        self._roles.start(f"feed-{number}", "feed", str(self._images), *given)
        if number == 0:
            self._roles.start("worker", "worker", *self._common)
            self._roles.start("sink", "sink", *given)
        before, self._done = self._done, self._done + len(images)
        edge = len(images) // EDGE
        seconds = self._seconds(before + edge, self._done - edge)
        self._roles.wait_until(lambda: captioned(self._server, JOB) == self._done)
        return seconds

    def close(self) -> None:
        """End the worker and the sink."""
        self._roles.stop()

    def _settle_on(self, way: str) -> tuple[str, ...]:
        """Let the worker go by the settings of a portion; answers the flags that name them."""
        path = self._place / "job.yaml"
        flags = ("--config", str(path))
        if way != self._way:
            vllm = {**self._engine["vllm"], "stages": stages(way)}
            path.write_text(json.dumps({**self._engine, "vllm": vllm}))
            self._way = way
            self._version += 1
            if self._version > 1:
                name = f"reload-{self._version}"
                self._roles.start(name, "reload_config", "--yes", *self._common, *flags)
                words = f"The settings are of version {self._version} now"
                self._roles.wait_until(lambda: words in self._roles.said("worker"))
        return flags

    def _seconds(self, first: int, last: int) -> float:
        """Measure from when so many images are captioned to when so many are."""
        self._roles.wait_until(lambda: completed(self._server, JOB) >= first)
        begun, start = time.monotonic(), completed(self._server, JOB)
        self._roles.wait_until(lambda: completed(self._server, JOB) >= last)
        return (time.monotonic() - begun) / (completed(self._server, JOB) - start)


def one_run(engine: Mapping[str, Any], images: Sequence[Path]) -> dict[str, float]:
    """Go through the portions once; answers captions a second and gains."""
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    size = len(images) // PORTIONS
    took: dict[str, list[float]] = {}
    with RedisServer(place / "redis", *REDIS_OPTIONS) as server:
        bench = Bench(server, place, engine)
        for number, way in enumerate(ORDER):
            part = images[number * size : (number + 1) * size]
            took.setdefault(way, []).append(bench.portion(way, part))
        bench.close()
    shutil.rmtree(place)
    alone = statistics.mean(took["alone"])
    asked = len(PROMPTS)
    rates = {way: asked / took[way][0] for way in ("stages", "prompts")}
    gains = {f"gain_{way}": asked * alone / took[way][0] for way in rates}
    return {"alone": 1 / alone, **rates, **gains}


def simulated(latency: tuple[float, float]) -> dict[str, Any]:
    """Settings of the engine that takes so long for a caption."""
    return {
        "engine": "simulated",
        "simulated": {"latency": latency, "slots": REQUESTS, "decode": True},
        "vllm": {"model": "simulated", "batch_size": REQUESTS},
    }


def real() -> dict[str, Any]:
    """Settings of the shapes model."""
    sampling = {"temperature": 0, "max_tokens": 32}
    return {
        "vllm": {
            "model": str(MODEL),
            "batch_size": REQUESTS,
            "sampling": sampling,
            **ARGUMENTS,
        }
    }


def drawn(cache: Path, wanted: int) -> list[Path]:
    """Images for vLLM, drawn once and kept."""
    folder = cache / f"shapes-{wanted}-{SIDE}"
    if not folder.exists():
        program = [sys.executable, str(ROOT / "examples/shapes/draw.py"), str(folder)]
        size = ["--count", str(wanted), "--seed", "99", "--side", str(SIDE)]
        subprocess.run([*program, *size], check=True)
    return sorted(folder.glob("[0-9]*"))


def main() -> None:
    """Print the runs as JSON and their medians as lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500, help="of a portion")
    parser.add_argument("--bytes", type=int, default=65_536)
    parser.add_argument("--vllm", type=int, default=0, help="images of a portion with vLLM")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    photos = sorted(jpeg_folder(given.cache, PORTIONS * given.images, given.bytes).rglob("*.jpg"))
    engines = [
        (f"{low:g} to {high:g} s", simulated((low, high)), photos) for low, high in LATENCIES
    ]
    if given.vllm:
        engines.append(("vLLM", real(), drawn(given.cache, PORTIONS * given.vllm)))
    for name, engine, images in engines:
        runs = [one_run(engine, images) for _ in range(given.runs)]
        print(json.dumps({"bench": "stages", "engine": name, "runs": runs}))
        medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"{name}: three stages {medians['stages']:.0f} captions/s, three prompts "
            f"{medians['prompts']:.0f}, one prompt {medians['alone']:.0f}; gains "
            f"{medians['gain_stages']:.2f} and {medians['gain_prompts']:.2f}"
        )


if __name__ == "__main__":
    main()
