"""Bench: the ceilings that were measured on this host, kept for the workers that run here later.

One file of the user, which names nothing: what a ceiling is of stands there as a digest. No other
file of a job holds it, and no path of this host goes anywhere.
"""

import fcntl
import hashlib
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import engine_key

logger = logging.getLogger(__name__)

MOST = 100  # of the last measured
_FILE = Path("caption-flow", "ceilings.json")


class Ceiling(Struct, frozen=True):
    """What an engine made by itself."""

    rate: Annotated[float, Meta(gt=0)]  # captions a second
    at: float  # when that was measured, in seconds since the epoch


def key(
    settings: Broadcast, names: Sequence[str], gpu: str, own: Mapping[str, Any] | None = None
) -> str:
    """Tell one engine with these stages, on this host with this GPU, from all others.

    `own`: what a worker says over the settings of its job.
    """
    stages = [stage for stage in settings.stages if stage.name in names]
    parts = [engine_key(settings, stages[0]).decode(), stages, settings.images]
    said = {name: value for name, value in (own or {}).items() if value}
    written = msgspec.json.encode([*parts, socket.gethostname(), gpu, said], order="sorted")
    return hashlib.sha256(written).hexdigest()[:32]


def place(environ: Mapping[str, str]) -> Path | None:
    """Say where they are kept; None for a user without a home, as in a container."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / _FILE
    try:
        return Path.home() / ".local" / "state" / _FILE
    except RuntimeError:
        return None


def find(path: Path | None, key: str) -> float | None:
    """Give captions a second; None where nobody has measured that."""
    found = _read(path).get(key)
    return found.rate if found else None


def keep(path: Path | None, key: str, rate: float) -> None:
    """Keep a ceiling; where it cannot be, the measurement stands without it."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            known = _read(path) | {key: Ceiling(rate, time.time())}
            newest = sorted(known.items(), key=lambda item: item[1].at)[-MOST:]
            _write(path, msgspec.json.encode(dict(newest)))
    except OSError as exc:
        logger.warning("The ceiling is not kept for monitors: %s: %s", path, exc.strerror)


class Known:
    """The ceiling of the engine of a worker, looked for when either is another."""

    def __init__(self, path: Path | None, own: Mapping[str, Any]) -> None:
        """`own`: what the worker says over the settings of its job."""
        self._path = path
        self._own = own
        self._asked: tuple[Broadcast, list[str], str] | None = None
        self._rate: float | None = None

    def figures(self, sole: tuple[Broadcast, list[str]] | None, gpu: str) -> dict[str, float]:
        """Tell captions a second; nothing where nobody has measured that."""
        asked = None if sole is None else (*sole, gpu)
        if asked != self._asked:
            self._asked = asked
            self._rate = find(self._path, key(*asked, own=self._own)) if asked else None
        return {"ceiling": self._rate} if self._rate else {}


def _read(path: Path | None) -> dict[str, Ceiling]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Ceiling]) if path else {}
    except (OSError, msgspec.DecodeError, UnicodeError):  # none yet, broken, of another version
        return {}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let no other bench of this user read and write in between: one of two would be lost."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, data: bytes) -> None:
    """Put it in place as a whole, readable by us alone. Who was killed at it left that name."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    with open(aside, "xb", opener=_for_us) as file:
        file.write(data)
    aside.replace(path)


def _for_us(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
