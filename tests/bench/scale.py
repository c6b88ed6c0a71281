"""Bench: what each part of a job carries, a unit at a time, and the sum for a job of any size.

    python -m tests.bench.scale [--images 1e9] [--workers 1000] [--contributors 10000] …

Measures on a real Redis: bytes of each thing that is kept, CPU seconds of Redis for each sample
with few workers and with as many as the job is to have, for workers that wait, and for those that
look on. Prints the units and, from them, what the job would take, as one JSON document.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from caption_flow.queue.connect import connect
from tests.bench.scale_crowd import crowds
from tests.bench.scale_kept import kept
from tests.bench.scale_sum import Size, Units, bill
from tests.redis_server import RedisServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    numbers: dict[str, tuple[Callable[[str], Any], Any, str]] = {
        "images": (float, 1e9, "of the job"),
        "workers": (int, 1000, "GPUs, each with a worker"),
        "contributors": (int, 10_000, "who ever lent one"),
        "rate": (float, 10.0, "captions a second of a GPU"),
        "image-bytes": (int, 65_536, "of a mean image"),
        "shard-samples": (int, 10_000, "of a shard"),
        "part-rows": (int, 10_000, "of a part"),
        "samples": (int, 20_000, "that pass in each measurement"),
    }
    for name, (kind, default, what) in numbers.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=what)
    told = vars(parser.parse_args())
    samples = told.pop("samples")
    size = Size(**told)
    with tempfile.TemporaryDirectory() as folder:
        units = asyncio.run(measure(Path(folder), size, samples))
    document = {"size": told, "units": units.document(), "job": bill(size, units)}
    print(json.dumps({"bench": "scale", **document}))
    for line in units.lines():
        print(line)
    for name, value in document["job"].items():
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value:,}")


async def measure(folder: Path, size: Size, samples: int) -> Units:
    """Measure all units, on a server for each kind."""
    with RedisServer(folder / "kept") as server:
        async with connect(server.url, role="bench") as connections:
            things = await kept(connections, server, size)
    with RedisServer(folder / "crowd") as server:
        crowd = await crowds(server, size.workers, samples)
    return Units(**things, **crowd)


if __name__ == "__main__":
    main()
