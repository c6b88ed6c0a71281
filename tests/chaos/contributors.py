"""Chaos, those who lend remote workers: their tokens, and which worker is whose."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tests.e2e.jobs import Job

NAMES = ("ada", "bob", "cy: 3")
_REMOTE = re.compile(r"(.+)/[^/]*-remote-(\d+)-[0-9a-f]+")
# Leases are of two seconds: some come back before theirs went to others, and some too late.
_RESUME_SECONDS = 1.5


def name(number: int) -> str:
    """Who lends the remote worker of this number."""
    return NAMES[number % len(NAMES)]


def token(number: int) -> str:
    """What lets it in."""
    return f"cf_token_of_contributor_{number % len(NAMES)}"


def owner(worker: str) -> str | None:
    """Whose a worker is, by its name in rows; None where none of ours has that name."""
    if "/" not in worker:
        return ""
    found = _REMOTE.fullmatch(worker)
    if found is None or found[1] != name(int(found[2])):
        return None
    return found[1]


def document(path: Path) -> Path:
    """Write what a proxy must know."""
    tokens = [{"name": one, "token": token(number)} for number, one in enumerate(NAMES)]
    proxy: dict[str, Any] = {
        "resume_seconds": _RESUME_SECONDS,
        # All come from one address.
        "handshakes_per_minute": 100_000,
    }
    path.write_text(json.dumps({"auth": {"worker_tokens": tokens}, "proxy": proxy}))
    return path


def credited(job: Job) -> Counter[str]:
    """Read how many captions Redis counts of each, the operator's own under an empty name."""
    return sum(map(_credited, job.lanes), Counter())


def _credited(lane: Job) -> Counter[str]:
    lines = lane.cli("HGETALL", lane.key("contributors")).splitlines()
    counters = dict(zip(lines[::2], lines[1::2], strict=True))
    return Counter(
        {
            counter.removesuffix(":captions"): int(value)
            for counter, value in counters.items()
            if counter.endswith(":captions") and int(value)
        }
    )
