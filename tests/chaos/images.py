"""Chaos, what goes in: small images of which no two are alike, some of them bad."""

import hashlib
import io
import random
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from PIL import Image

PER_FOLDER = 1000
BAD_EVERY = 200  # one sample in so many
_PICTURES = 64
_SIZE = (40, 30)


class Fed(Struct, frozen=True):
    """What must become of each sample, by its id."""

    good: dict[str, str]  # the digest of its image
    bad: dict[str, str]  # the reason it is refused for

    @property
    def count(self) -> int:
        return len(self.good) + len(self.bad)


def draw(root: Path, count: int, seed: int, least: int = 0) -> Fed:
    """Draw the images into folders of a thousand, each of `least` bytes or some more."""
    chance = random.Random(seed)
    pictures = [_picture(chance) for _ in range(_PICTURES)]
    spoilt = set(_one_in_each(count, chance))
    good: dict[str, str] = {}
    bad: dict[str, str] = {}
    for number in range(count):
        folder = f"{number // PER_FOLDER:03}"
        if number % PER_FOLDER == 0:
            (root / folder).mkdir(parents=True)
        name = f"{folder}/{number:07}.jpg"
        data = _numbered(pictures[number % _PICTURES], number, least)
        if number in spoilt:
            bad[name], data = _spoilt(data, len(bad))
        else:
            good[name] = hashlib.sha256(data).hexdigest()
        (root / name).write_bytes(data)
    return Fed(good, bad)


def _one_in_each(count: int, chance: random.Random) -> Iterator[int]:
    for first in range(0, count, BAD_EVERY):
        yield min(first + chance.randrange(BAD_EVERY), count - 1)


def _picture(chance: random.Random) -> bytes:
    """A picture of a few soft colours: a JPEG of less than a KB."""
    colours = Image.frombytes("RGB", (3, 2), chance.randbytes(18))
    file = io.BytesIO()
    colours.resize(_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def _numbered(jpeg: bytes, number: int, least: int) -> bytes:
    """Put a number into a JPEG, as its comment."""
    comment = f"image {number}".encode().ljust(least)
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def _spoilt(jpeg: bytes, kind: int) -> tuple[str, bytes]:
    """Spoil an image in one of four ways: the first three the feeder sees, the last the worker."""
    kinds = (
        ("empty", b""),
        ("not_an_image", b"<html>404 Not Found"),
        ("truncated", jpeg[: jpeg.index(b"\xff\xdb") + 30]),
        ("truncated", jpeg[:-40]),
    )
    return kinds[kind % len(kinds)]
