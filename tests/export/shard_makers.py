"""Jobs over tars: the tars, and parts with captions that are hard to write."""

import hashlib
import io
import random
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.image.makers import encode, noise
from tests.view.parts import numbered, part_name, write_part

HARD = (
    "two\nlines\r\nand a third",
    "he said \"no\", 'yes' and `maybe`",
    "a fox 🦊 and a family 👩‍👩‍👧‍👦",
    "\u202eשלום עליכם\u202c, مرحبا",  # noqa: RUF001 - it is Hebrew
    "before\0after",
    "x" * 100_000,
    "=1+1",
    " white space at both ends \t",
    '{"no": "JSON"}',
)
PER_SHARD = 20
SHARDS = ("sub/00000.tar", "sub/00001.tar", "00002.tar")


def key_of(number: int) -> str:
    """Name a sample in its tar."""
    return f"cat/{number:04}"


def image_of(shard: str, number: int) -> bytes:
    """Draw an image that no other sample has."""
    return _IMAGES[number % len(_IMAGES)] + f"{shard} {number}".encode()


def make_tars(folder: Path, shards: Iterable[str] = SHARDS) -> Path:
    """Make a data set of tars."""
    for shard in shards:
        path = folder / shard
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for number in range(PER_SHARD):
                data = image_of(shard, number)
                info = tarfile.TarInfo(f"{key_of(number)}.{_extension(number)}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


def rows_of_tars(shards: Iterable[str] = SHARDS, place: str = "/data") -> list[dict[str, Any]]:
    """Make rows for all samples of tars."""
    rows = []
    for shard in shards:
        for number, row in enumerate(numbered(0, PER_SHARD)):
            name = key_of(number)
            data = image_of(shard, number)
            own = {
                "id": f"{shard}/{name}",
                "shard": shard,
                "chunk": f"{shard}:0",
                "source": f"{place}/{shard}#{name}.{_extension(number)}",
                "format": _FORMATS[number % len(_FORMATS)],
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "captions": [f"{HARD[number % len(HARD)]}", *(["another"] if number > 15 else [])],
                "tags": [],
            }
            rows.append(row | own)
    return rows


def scatter(folder: Path, rows: list[dict[str, Any]], parts: int = 3) -> Path:
    """Write rows as they come from many workers: all shards in all parts."""
    shuffled = random.Random(5).sample(rows, len(rows))
    for number in range(parts):
        write_part(folder, part_name(number), shuffled[number::parts])
    return folder


def texts(row: Mapping[str, Any]) -> str:
    """Say what a text file has of the captions of a row."""
    some = row["captions"]
    return some[0] if len(some) == 1 else "\n".join(" ".join(one.splitlines()) for one in some)


def _extension(number: int) -> str:
    return ("jpg", "png", "webp")[number % 3]


_FORMATS = ("jpeg", "png", "webp")
_IMAGES = [encode(noise(8), form.upper()) for form in _FORMATS]
