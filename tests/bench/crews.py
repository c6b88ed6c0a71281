"""Bench: several workers in one process, each with a connection of its own.

    python -m tests.bench.crews COUNT --server wss://… --token … [--ca-cert FILE]
    python -m tests.bench.crews COUNT --redis redis://… --job bench

Sixty-four processes would be more than two cores start in a reasonable time.
"""

import argparse
import asyncio
from typing import Any

from caption_flow.cli.running import run_async
from caption_flow.cli.telling import Teller
from caption_flow.cli.worker import _work
from caption_flow.config import WorkerConfig
from caption_flow.lifecycle import Drain
from caption_flow.metrics.vitals import Vitals


async def crews(count: int, settings: dict[str, Any], drain: Drain) -> None:
    """Let so many workers work until they are asked to end."""
    configs = [WorkerConfig(**settings, name=f"crew{number}") for number in range(count)]
    works = (_work(each, drain, Teller("worker", None), Vitals("worker")) for each in configs)
    await asyncio.gather(*works)


def main() -> None:
    """Work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    for name in ("server", "token", "ca-cert", "redis", "job"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--batch-size", type=int)
    given = vars(parser.parse_args())
    count = given.pop("count")
    settings = {name: value for name, value in given.items() if value is not None}
    run_async(lambda drain: crews(count, settings, drain))


if __name__ == "__main__":
    main()
