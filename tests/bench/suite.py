"""Bench: all benches, and how each is run for the table and for a try.

Each is a module that runs by itself, prints JSON documents and lines in words, and takes what it
may be asked for on its command line. Here each runs in a process of its own, so that the memory of
one is not counted for another.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.bench.figures import Figures, documents_in, figures_of

ROOT = Path(__file__).parents[2]


class Options(Struct, frozen=True):
    """How benches are run."""

    quick: bool = False
    runs: int = 3
    peers: Path | None = None  # folder of their venvs; no peers without
    cache: Path | None = None  # folder of images, made once and kept


class Found(Struct, frozen=True):
    """What a bench has said."""

    name: str
    lines: list[str]  # in words
    documents: list[dict[str, Any]]
    failure: str = ""

    @property
    def figures(self) -> list[Figures]:
        """Its numbers, over all runs."""
        return figures_of(self.name, self.documents)


class Bench(Struct, frozen=True):
    """One module, and what it is asked for."""

    name: str
    what: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None  # None: too dear for a try
    module: str = ""  # where several benches are of one module
    runs: bool = True  # whether it takes --runs; others run once
    peers: bool = False  # whether it takes --peers
    cache: bool = True  # whether it takes --cache

    @property
    def program(self) -> str:
        """The module that runs."""
        return f"tests.bench.{self.module or self.name}"

    @property
    def here(self) -> bool:
        """Whether this tree has it."""
        return find_spec(self.program) is not None

    def command(self, options: Options) -> list[str]:
        """Say how it is run."""
        words = [sys.executable, "-m", self.program]
        words += (self.quick or ()) if options.quick else self.full
        if self.runs:
            words += ["--runs", "1" if options.quick else str(options.runs)]
        if self.peers and options.peers:
            words += ["--peers", str(options.peers.absolute())]
        if self.cache and options.cache:
            words += ["--cache", str(options.cache.absolute())]
        return words

    def run(self, options: Options) -> Found:
        """Run it to its end; what it says in words is said on."""
        process = subprocess.Popen(
            self.command(options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"},  # it writes between our lines
        )
        out, err = process.communicate()
        lines = out.splitlines()
        failure = ""
        if process.returncode:
            said = [line for line in (err or out).splitlines() if line.strip()]
            failure = (
                f"ended with code {process.returncode}: {said[-1] if said else 'nothing said'}"
            )
        told = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
        return Found(self.name, told, documents_in(lines), failure)


BENCHES = (
    Bench(
        "pipeline",
        "20,000 JPEGs of 64 KB from a folder to Parquet, nothing decoded; the raw Redis loop on "
        "the same bytes; peers",
        quick=("--images", "1000"),
        peers=True,
    ),
    Bench(
        "pipeline-decoding",
        "5,000 JPEGs of 64 KB, each decoded; peers",
        ("--decode", "--images", "5000"),
        ("--decode", "--images", "500"),
        module="pipeline",
        peers=True,
    ),
    Bench(
        "engine",
        "the shapes model in vLLM: pipeline against bare AsyncLLM",
        ("--images", "1000", "--only", "vllm"),
    ),
    Bench(
        "lengths",
        "captions of 10 to 200 tokens in vLLM: pipeline, bare, barrier, webdataset",
        ("--images", "600"),
    ),
    Bench("occupancy", "how full a simulated engine is kept, at several rates"),
    Bench("prompts", "several prompts on one image in vLLM", ("--images", "200"), cache=False),
    Bench(
        "stages",
        "several stages on one image, simulated",
        ("--images", "600", "--runs", "1"),
        runs=False,
    ),
    Bench("lanes", "one job on several Redis servers", runs=False, cache=False),
    Bench("preprocessing", "images decoded and shrunk", runs=False, cache=False),
    Bench(
        "budget",
        "memory of Redis against the budget of bytes, by the size of images",
        quick=("--mib", "8"),
        runs=False,
        cache=False,
    ),
    Bench(
        "scale",
        "what each part of a job carries, and the sum",
        quick=("--workers", "20", "--contributors", "100", "--samples", "1000"),
        runs=False,
        cache=False,
    ),
    Bench("startup", "how soon each command is of use", quick=("--warm-only",)),
    Bench(
        "feed",
        "images a second that a feeder reads, by kind",
        quick=("--images", "500", "--kind", "folder"),
    ),
    Bench(
        "feed_memory",
        "memory of a feeder over 1,000 shards against 10",
        quick=("--large", "20"),
        runs=False,
        cache=False,
    ),
    Bench(
        "plan_urls",
        "a table of 10,000,000 URLs planned",
        quick=("--rows", "200000"),
        runs=False,
    ),
    Bench(
        "sink",
        "captions a second that a sink writes; pyarrow alone with the same rows",
        quick=("--captions", "2000"),
    ),
    Bench(
        "proxy",
        "images through a proxy against the same workers on Redis",
        ("--workers", "1", "8", "--images", "3000"),
        ("--workers", "1", "--images", "1000"),
    ),
    Bench("proxy_memory", "memory of a proxy for a connection", runs=False),
    Bench("watching", "what watchers cost a job", quick=("--images", "1000", "--members", "50")),
    Bench(
        "monitor",
        "CPU and Redis commands of `monitor`, by pane",
        quick=("--members", "50", "--seconds", "2"),
        runs=False,
        cache=False,
    ),
    Bench(
        "export",
        "rows a second written, by format",
        quick=("--rows", "20000", "--files", "2000"),
        cache=False,
    ),
    Bench("view", "answers of the page of captions, 1,000,000 rows", runs=False),
    Bench("audit", "`scan_chunks` on 10,000,000 rows", quick=("--parts", "10"), runs=False),
    Bench(
        "memory",
        "peak memory at 1,000,000 and 100,000 samples against 10,000",
        quick=("--sizes", "500", "1500"),
        runs=False,
    ),
    Bench("resume", "going on with a large job", runs=False),
)


def chosen(names: list[str], options: Options) -> Iterator[Bench]:
    """The benches of those names, or all; of a try those that are cheap enough."""
    for bench in BENCHES:
        wanted = bench.name in names if names else bench.quick is not None or not options.quick
        if wanted and bench.here:
            yield bench
