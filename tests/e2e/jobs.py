"""A job seen through its Redis, with redis-cli as an operator has it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from caption_flow.queue.embedded import running_url
from tests.e2e.desk import wait_until

STREAMS = ("chunks", "samples:caption", "images", "captions")
GROUPS = {"chunks": "feeders", "samples:caption": "workers", "captions": "sinks"}


class Job:
    """What stands in Redis of one job, or of one of its lanes."""

    def __init__(self, url: str | Callable[[], str | None], name: str, lane: int = 0) -> None:
        self.name = name
        self._url = url
        self._lane = lane

    @property
    def lanes(self) -> "tuple[Job, ...]":
        """Its lanes, each as a job of its own."""
        return (self,)

    def cli(self, *words: object) -> str:
        """The answer of redis-cli; empty while no server answers."""
        url = self._url if isinstance(self._url, str) else self._url()
        if url is None:
            return ""
        parts = urlsplit(url)
        unix = parts.scheme == "unix"
        where = ["-s", unquote(parts.path)] if unix else ["-c", "-p", str(parts.port)]
        command = ["redis-cli", *where, *map(str, words)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        return done.stdout.decode(errors="replace").strip()

    def key(self, name: str) -> str:
        return f"cf:{{{self.name}:{self._lane}}}:{name}"

    def counts(self) -> dict[str, int]:
        """The books."""
        return {k: int(v) for k, v in _pairs(self.cli("HGETALL", self.key("counts")))}

    def count(self, field: str) -> int:
        return self.counts().get(field, 0)

    def wait_for(self, field: str, least: int) -> None:
        """Wait until the books count so many."""
        try:
            wait_until(lambda: self.count(field) >= least, f"{least} {field}")
        except AssertionError as exc:
            held = {stream: self.pending(stream) for stream in GROUPS}
            exc.add_note(f"books {self.counts()}, entries {self.lengths()}, held {held}")
            raise

    def length(self, stream: str) -> int:
        return int(self.cli("XLEN", self.key(stream)) or 0)

    def lengths(self) -> dict[str, int]:
        """Entries in each stream."""
        return {stream: self.length(stream) for stream in STREAMS}

    def pending(self, stream: str) -> dict[str, int]:
        """Entries that each consumer of a stream's group holds."""
        group = GROUPS.get(stream, "workers")  # of a stage of another name
        lines = self.cli("XPENDING", self.key(stream), group).splitlines()
        if not lines or not lines[0].isdigit() or int(lines[0]) == 0:
            return {}
        return {name: int(count) for name, count in zip(lines[3::2], lines[4::2], strict=True)}

    def held_by(self, stream: str, label: str) -> int:
        """Entries held by the consumer with this label in its name."""
        return sum(n for name, n in self.pending(stream).items() if f"-{label}-" in name)

    def members(self) -> dict[str, dict[str, Any]]:
        """The last word of each live process."""
        words = _pairs(self.cli("HGETALL", f"cf:{{{self.name}}}:members"))
        return {name: json.loads(word) for name, word in words}

    def pids(self, role: str) -> list[int]:
        """The processes that play a role."""
        return [member["pid"] for member in self.members().values() if member["role"] == role]

    def information(self, field: str) -> str:
        """One line of INFO."""
        lines = (line.partition(":") for line in self.cli("INFO").splitlines())
        return next(value.strip() for name, _, value in lines if name == field)


def embedded(data_dir: Path, name: str) -> Job:
    """A job on the Redis that `run` or `orchestrator` started."""
    return Job(lambda: running_url(data_dir / ".redis"), name)


def _pairs(text: str) -> list[tuple[str, str]]:
    lines = text.splitlines()
    return list(zip(lines[::2], lines[1::2], strict=True))
