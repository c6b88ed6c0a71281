"""Export: what the files of samples are called, so that trainers find them beside the images.

By the id, which is the path of the image or of its member in an archive: its image extension gives
way to ours. A name can be a stranger's: no part of it leads out of the folder, is hidden, or is too
long for a file. Where names come out alike, the first by id has it, and the others a number more.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from caption_flow.dataset.reader import IDS, Reader
from caption_flow.dataset.repeats import Repeats, among, words

_LONGEST = 200  # bytes of a name; with extensions and numbers below the 255 that file systems take
_DEEPEST = 30  # folders
_FARTHEST = 2000  # bytes of all; with the folder of the output below the 4096 of a path
_IMAGES = re.compile(
    r"\.(jpe?g|jpe|jfif|jif|png|apng|webp|avif|gif|bmp|dib|tiff?|jxl|heic|heif)\Z", re.IGNORECASE
)
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]")  # that no file may have, or that lead elsewhere
# What most ids are, told at once: up to three names, of which none is hidden or long.
_FIT = re.compile(r"(?:[\w~+=@, -][\w.~+=@, -]{0,40}/){0,2}[\w~+=@, -][\w.~+=@, -]{2,40}")
_ODD = re.compile(r"\.(?:txt|json)/", re.IGNORECASE)  # a folder with the name of a file of ours
_ABOUT = re.compile(r"__[^/]*__(/|\Z)")
_NUMBERED = re.compile(r"~\d+\Z")
_OURS = re.compile(r"\.(txt|json)\Z", re.IGNORECASE)  # what files of samples end with


def stem(id_: str) -> str:
    """Make of an id the path of a file below the output, without an extension."""
    if _FIT.fullmatch(id_) and not _ODD.search(id_):
        return _IMAGES.sub("", id_)
    parts = [part for part in id_.split("/") if part not in {"", "."}]
    if len(parts) > _DEEPEST or len(_raw(id_)) > _FARTHEST:
        parts = [_digest(id_), *parts[-1:]]
    parts[-1:] = [_IMAGES.sub("", part) or part for part in parts[-1:]]
    return "/".join([*map(_folder, parts[:-1]), *map(_safe, parts[-1:])]) or _digest(id_)


def distinct_stem(name: str, suffix: str) -> str:
    """Make of a name, as that of a shard, the path of a file, and of no two names the same."""
    bare = name.removesuffix(suffix)
    path = stem(bare)
    return path if path == bare else f"{path}-{_digest(name)}"


class Names:
    """Names the files of all samples, no two alike."""

    def __init__(self, reader: Reader, column: str = "id", *, dots: bool = True) -> None:
        """Look through the names of all rows; `column`: which one the name is taken from.

        `dots`: whether a name may have them, which end it in a tar of samples.
        """
        self._column = column
        self._dots = dots
        self._numbers = self._numbered(reader)

    @property
    def columns(self) -> tuple[str, ...]:
        """What is needed of a row to name its file."""
        return ("id",) if self._column == "id" else ("id", self._column)

    def of(self, rows: Any) -> list[str]:
        """Name the file of each row, below the output and without an extension."""
        stems, ids = self._stems(rows), rows.column("id").to_pylist()
        if not self._numbers:
            return stems
        return [
            _numbered(one, self._numbers.get(id_, 1)) for one, id_ in zip(stems, ids, strict=True)
        ]

    def _numbered(self, reader: Reader) -> Mapping[str, int]:
        """Number the samples whose names come out alike, but for the first of each."""
        with Repeats(reader.stored) as repeats:
            for stems, _ in self._all(reader):
                repeats.add(stems)
            suspects = repeats.found()
        if not len(suspects):
            return {}
        alike: dict[str, set[str]] = {}
        taken: set[str] = set()  # names that look as if they were numbered
        for stems, ids in self._all(reader):
            taken.update(one for one in stems if _NUMBERED.search(one))
            for row in among(suspects, words(stems)).nonzero()[0].tolist():
                alike.setdefault(stems[row], set()).add(ids[row])
        return dict(chain.from_iterable(_apart(*one, taken) for one in alike.items()))

    def _all(self, reader: Reader) -> Iterator[tuple[list[str], list[str]]]:
        for batch in reader.batches(self.columns, size=IDS):
            yield self._stems(batch.rows), batch.rows.column("id").to_pylist()

    def _stems(self, rows: Any) -> list[str]:
        ids = rows.column("id").to_pylist()
        told: Sequence[Any] = rows.column(self._column).to_pylist()
        made: Iterable[str] = (
            stem(id_ if name is None else str(name) or id_)
            for name, id_ in zip(told, ids, strict=True)
        )
        return list(made) if self._dots else [_as_key(one) for one in made]


def _apart(name: str, ids: Collection[str], taken: Collection[str]) -> Iterator[tuple[str, int]]:
    """Number samples of one name, but for the first."""
    free = (number for number in count(2) if _numbered(name, number) not in taken)
    yield from zip(sorted(ids)[1:], free, strict=False)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}~{number}"


def _safe(part: str) -> str:
    """Make of a part of a path the name of one file or folder."""
    safe = _UNFIT.sub("_", part)
    if safe.startswith("."):
        safe = f"_{safe[1:]}"
    raw = _raw(safe)
    if len(raw) <= _LONGEST:
        return safe
    return f"{raw[: _LONGEST - 17].decode('utf-8', 'ignore')}-{_digest(part)}"


def _folder(part: str) -> str:
    """Make of a part of a path the name of a folder, which no file of a sample can have."""
    safe = _safe(part)
    return f"{safe}_" if _OURS.search(safe) else safe


def _as_key(name: str) -> str:
    """Make a key of it: without a dot in its last component, and none of what a tar says of itself.

    Readers pass over members of such a folder as `__meta__/`.
    """
    folder, slash, last = name.rpartition("/")
    key = f"{folder}{slash}{last.replace('.', '_')}"
    return f"_-{key[2:]}" if _ABOUT.match(key) else key


def _digest(text: str) -> str:
    return hashlib.blake2b(_raw(text), digest_size=8).hexdigest()


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
