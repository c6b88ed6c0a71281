"""Data set: merged parts, and the parts that each has replaced, as its file says.

A part that a finished merged part names has its rows there: it is *superseded*, whether its own
file is gone by now or not. A merged part names what those had replaced that it replaces, too.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

MERGED = b"caption_flow.merged"  # key in a file's metadata: parts it replaces, with their revisions
MERGED_END = "-merged"  # of the names of merged parts
TRIES = 50  # to list a folder in which parts are being merged
PAUSE_SECONDS = 0.02
_BEGIN = re.compile(rf"(part-\d{{8}}T\d{{6}})-|(.+)-[0-9a-f]{{8}}{MERGED_END}$")


class Look(Struct, frozen=True):
    """The files of a folder that are called like finished parts."""

    published: frozenset[str]  # parts whose rows count
    superseded: Mapping[str, str]  # part -> the published part that it was merged into
    unretired: frozenset[str]  # superseded parts whose files stand there as if they were not


def is_merged(part: str) -> bool:
    """Whether a part is called like one that others were merged into."""
    return part.endswith(MERGED_END)


def merged_name(newest: str) -> str:
    """Name a part that others are merged into: it stands where the newest of them stood."""
    known = _BEGIN.match(newest)
    begin = (known[1] or known[2]) if known else newest
    return f"{begin}-{secrets.token_hex(4)}{MERGED_END}"


def write_replaced(revisions: Mapping[str, str]) -> bytes:
    """Write which parts one replaces, each with its revision, for its file's metadata."""
    return json.dumps(revisions, separators=(",", ":")).encode()


def read_replaced(file: Path) -> dict[str, str]:
    """Read which parts a finished one replaces; none where its file is no part of ours."""
    try:
        told = json.loads((pq.read_schema(file).metadata or {}).get(MERGED, b"{}"))
    except (pa.ArrowException, ValueError):  # torn, which is told by who reads its rows
        return {}
    except OSError as exc:
        if exc.errno is None:  # of Arrow, on what is in the file
            return {}
        raise
    return {str(part): str(of) for part, of in told.items()} if isinstance(told, dict) else {}


class Lookout:
    """Looks at the finished parts of a folder. What a merged one replaces is read once."""

    def __init__(self, finished: Callable[[str], set[str]], file: Callable[[str], Path]) -> None:
        """`finished` lists parts by their files, those that end so; `file`: where one stands."""
        self._finished = finished
        self._file = file
        self._read: dict[Path, tuple[tuple[int, int, int], dict[str, str]]] = {}

    def look(self) -> Look | None:
        """Find the finished parts as they were at one moment, though they may be merged now.

        None where there is no such moment, as on a disk that lists what is not there.
        """
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_SECONDS)
            names = self._finished("")
            # One listing may miss both a part that is retired meanwhile, and the one it was merged
            # into, which has its name since before: so the next listing shows that one.
            if not self._finished(MERGED_END) <= names:
                continue
            superseded = self._superseded_by(names)
            if superseded is not None:
                gone = names & superseded.keys()
                return Look(frozenset(names - gone), superseded, frozenset(gone))
        return None

    def _superseded_by(self, names: set[str]) -> dict[str, str] | None:
        """Name what these parts supersede; None where one is gone since it was listed."""
        found: dict[str, str] = {}
        for part in sorted(filter(is_merged, names)):
            try:
                found |= dict.fromkeys(self._replaced_by(self._file(part)), part)
            except FileNotFoundError:
                return None
        # Of those that were merged again, the last one has the rows.
        found = {old: _last(found, part) for old, part in found.items() if old != part}
        return {old: part for old, part in found.items() if old != part}

    def _replaced_by(self, file: Path) -> dict[str, str]:
        try:
            facts = file.stat()
        except FileNotFoundError:
            if file.is_symlink():  # to nothing, which is told by who reads its rows
                return {}
            raise
        stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        if self._read.get(file, ((), {}))[0] != stamp:
            self._read[file] = (stamp, read_replaced(file))
        return self._read[file][1]


def _last(found: Mapping[str, str], part: str) -> str:
    for _ in found:
        if part not in found:
            break
        part = found[part]
    return part
