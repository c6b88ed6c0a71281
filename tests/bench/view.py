"""Bench: `caption-flow view` over many rows: the first page, any page, searches, memory.

    python -m tests.bench.view [--rows 1000000] [--per-part 20000]

Writes parts as sinks do, once for each size, and starts the command on them twice: with no search
index yet, so that all rows are indexed while pages are asked for, and with the one that is there.
Times are of an answer over HTTP, in seconds; peak memory is that of the process.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.view.parts import NEEDLE, write_parts

PER_PAGE = 48  # as the page asks
ASKED: Mapping[str, Mapping[str, str]] = {
    "a rare word": {"text": NEEDLE},
    "a frequent word": {"text": "dog"},
    "a word of all rows": {"text": "afternoon "},
    "any ending of two letters": {"text": "do*"},
    "a phrase of all rows": {"text": '"in the light of the afternoon"'},
    "rows without a word": {"text": "-dog"},
    "a flag": {"flag": "caption:too_short"},
    "a finish reason of all rows": {"finish": "stop"},
    "a word, a stage and a contributor": {"text": "dog", "stage": "tag", "contributor": "ann"},
}


class Viewing:
    """A running `caption-flow view`."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, started: float) -> None:
        self._process = process
        self._address = address
        self.ready = time.monotonic() - started  # seconds until it listened

    def ask(self, path: str, **asked: object) -> tuple[Any, float]:
        """Give an answer, and the seconds that it took."""
        begun = time.monotonic()
        with urlopen(f"{self._address}api/{path}?{urlencode(asked)}") as answer:
            told = json.load(answer)
        return told, time.monotonic() - begun

    @property
    def peak_mib(self) -> float:
        """The most memory that it has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return round(int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024)


@contextmanager
def viewing(folder: Path, cache: Path) -> Iterator[Viewing]:
    """Start the command."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "caption_flow", "view", str(folder), "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        env={"XDG_CACHE_HOME": str(cache), "HOME": str(cache), "PYTHONPATH": str(Path.cwd())},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield Viewing(process, address, started)
    finally:
        process.terminate()
        process.wait()


def measured(folder: Path, cache: Path, rows: int) -> dict[str, Any]:
    """Ask what a person asks, in that order."""
    with viewing(folder, cache) as view:
        first, seconds = view.ask("rows", count=PER_PAGE)
        assert len(first["rows"]) == PER_PAGE
        found = {"listening": view.ready, "first page": seconds}
        begun = time.monotonic()
        middle = rows // 2
        told, found["a page in the middle"] = view.ask("rows", start=middle, count=PER_PAGE)
        assert told["rows"][0]["id"].endswith(f"{middle:08}.jpg")
        _, found["the newest page"] = view.ask("rows", count=PER_PAGE, order="newest")
        _, found["a search meanwhile"] = view.ask("rows", count=PER_PAGE, text="dog")
        while (state := view.ask("state")[0]["state"])["indexing"] or state["indexed"] < rows:
            time.sleep(0.1)
        found["all rows searched after"] = time.monotonic() - begun
        for name, asked in ASKED.items():
            told, found[name] = view.ask("rows", count=PER_PAGE, **asked)
            assert told["total"] > 0, name
        return {name: round(value, 3) for name, value in found.items()} | {
            "peak MiB": view.peak_mib
        }


def main() -> None:
    """Print both runs as JSON, and what matters as a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--per-part", type=int, default=20_000)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "caption-flow")
    given = parser.parse_args()
    folder = given.cache / f"rows-{given.rows}-{given.per_part}" / "photos"
    if not folder.exists():
        for _ in write_parts(folder, given.rows, given.per_part):
            pass
    with tempfile.TemporaryDirectory(prefix="bench-view-") as cache:
        without = measured(folder, Path(cache), given.rows)
        index = sum(file.stat().st_size for file in Path(cache).rglob("*.sqlite*"))
        with_index = measured(folder, Path(cache), given.rows)
    parts = sum(file.stat().st_size for file in folder.glob("*.parquet"))
    sizes = {"parts MiB": parts >> 20, "index MiB": index >> 20}
    print(json.dumps({"bench": "view", "rows": given.rows, **sizes, "new": without}))
    print(json.dumps({"bench": "view", "rows": given.rows, "known": with_index}))
    searches = [without[name] for name in ASKED] + [with_index[name] for name in ASKED]
    print(
        f"view, {given.rows:,} rows: first page {without['first page']:.2f} s, "
        f"slowest search {max(searches):.2f} s, "
        f"peak {max(without['peak MiB'], with_index['peak MiB']):.0f} MiB"
    )


if __name__ == "__main__":
    main()
