"""Small images of which no two are alike, and what the simulated engine must say of each."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

_SIZE = (48, 32)
_DIGITS = 32  # hex digits of its image's digest in a simulated caption


def draw(folder: Path, count: int, *, first: int = 0) -> Path:
    """Draw JPEGs of some KB; `first` numbers them on from others."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        noise = random.Random(number).randbytes(_SIZE[0] * _SIZE[1] * 3)
        Image.frombytes("RGB", _SIZE, noise).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """What the caption of each image must hold, by sample id."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]
        for path in folder.rglob("*.jpg")
    }


def rows(parts: Path) -> list[dict[str, Any]]:
    """All rows of a job's finished parts."""
    return [row for file in sorted(parts.glob("*.parquet")) for row in read(file)]


def read(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(file, partitioning=None).to_pylist()
    return found


def said(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Sample id and digest of each row, in order: equal to `sorted(digests(…).items())`
    when each sample is captioned once, and with its own image before the engine."""
    return sorted((row["id"], row["captions"][0].split()[2]) for row in found)
