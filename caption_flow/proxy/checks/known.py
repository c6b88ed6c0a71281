"""Proxy: images whose captions are known, from a folder of the operator.

`captions.json` maps names of images, in the folder or in its `images/`, to what they show; a text
file beside an image, of the same name but for its ending, does the same for that image.
"""

import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from caption_flow.config.schema import ImagesConfig
from caption_flow.errors import BadImage, ConfigError
from caption_flow.image import fit
from caption_flow.model import Columns, Picture
from caption_flow.proxy.checks.agreement import agreement, likeness

CAPTIONS = "captions.json"
IMAGES = "images"  # folder beside it in which the images may be
MOST_KEPT = 32 << 20  # bytes of images

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_SHOWN = 3  # mistakes that are told
_HERE = "proxy.checks.known"

_Fitting: TypeAlias = tuple[str, int | None, int, int]  # name, and the bounds of images


class Truth(Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one image."""

    texts: tuple[str, ...] = ()  # one: the nearest text counts; several: one for each prompt
    fields: dict[str, Any] = {}  # of an answer that has a form; those not named may be anything
    columns: Columns | None = None  # to show it with; None: those of another sample

    def agreement(self, texts: list[str], fields: Mapping[str, Any]) -> float:
        """Tell how near an answer comes, from 0 to 1."""
        if self.fields:
            named = {name: value for name, value in fields.items() if name in self.fields}
            return agreement((), (), self.fields, named)
        if len(self.texts) == 1:
            return max((likeness(text, self.texts[0]) for text in texts), default=0.0)
        return agreement(self.texts, texts)


class KnownImages:
    """The images of the folder; read once, but for the pixels."""

    def __init__(self, truths: Mapping[str, tuple[Path, Truth]]) -> None:
        """`truths`: by name, with where each image lies."""
        self._truths = truths
        self._fitted: dict[_Fitting, tuple[bytes, Picture]] = {}  # the latest
        self._bytes = 0  # of these
        self._lock = Lock()

    def pick(self, shown: Collection[str]) -> str | None:
        """Choose one by chance that was not shown yet; None where all were."""
        left = [name for name in self._truths if name not in shown]
        return random.choice(left) if left else None  # noqa: S311 - nobody sees the others

    def truth(self, name: str) -> Truth | None:
        """What is known of an image; None where this folder does not have it."""
        return self._truths[name][1] if name in self._truths else None

    def read(self, name: str, images: ImagesConfig) -> tuple[bytes, Picture] | None:
        """Read an image as a feeder would; None where it cannot be. It is kept for a while."""
        fitting = (name, images.max_side, images.max_bytes, images.max_pixels)
        with self._lock:  # it is called in threads
            known = self._fitted.get(fitting)
            if known is None and (known := self._read(*fitting)) is not None:
                self._keep(fitting, known)
        return known

    def _read(
        self, name: str, max_side: int | None, max_bytes: int, max_pixels: int
    ) -> tuple[bytes, Picture] | None:
        if name not in self._truths:
            return None
        try:
            data = self._truths[name][0].read_bytes()
            return fit(data, max_side=max_side, max_bytes=max_bytes, max_pixels=max_pixels)
        except (OSError, BadImage):
            return None

    def _keep(self, fitting: _Fitting, known: tuple[bytes, Picture]) -> None:
        self._fitted[fitting] = known
        self._bytes += len(known[0])
        while self._bytes > MOST_KEPT:
            image, _ = self._fitted.pop(next(iter(self._fitted)))
            self._bytes -= len(image)


def known_images(folder: Path) -> KnownImages:
    """Read what is known; raises ConfigError."""
    if not folder.is_dir():
        raise ConfigError(f"{_HERE}: there is no folder {folder}.")
    listing = folder / CAPTIONS
    found = dict(_listed(listing) if listing.is_file() else _beside(folder))
    if not found:
        raise ConfigError(
            f"{_HERE}: {folder} has no {CAPTIONS}, and no image with a .txt or .json beside it."
        )
    return KnownImages(found)


def _listed(listing: Path) -> Iterator[tuple[str, tuple[Path, Truth]]]:
    told = _decoded(listing, dict[str, Any])
    missing = []
    for name, value in told.items():
        path = next((p for p in _places(listing.parent, name) if p.is_file()), None)
        if path is None:
            missing.append(name)
        else:
            yield name, (path, _truth(value, f'{listing}, "{name}"'))
    if missing:
        shown = ", ".join(f'"{name}"' for name in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ConfigError(f"{_HERE}: {listing} names {shown}{more}, which are not there.")


def _places(folder: Path, name: str) -> Iterator[Path]:
    for root in (folder, folder / IMAGES):
        if (path := root / name).resolve().is_relative_to(folder.resolve()):
            yield path


def _beside(folder: Path) -> Iterator[tuple[str, tuple[Path, Truth]]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        name = path.relative_to(folder).as_posix()
        if not name.isprintable():
            raise ConfigError(f"{_HERE}: the name {name!r} in {folder} cannot be shown; rename it.")
        if (told := path.with_suffix(".json")).is_file():
            yield name, (path, _truth(_decoded(told, Any), str(told)))
        elif (told := path.with_suffix(".txt")).is_file():
            yield name, (path, _truth(_text(told).strip(), str(told)))


def _truth(value: Any, where: str) -> Truth:
    """Read what is said of one image: a text, a list of texts, or an object with more."""
    if isinstance(value, str | list):
        value = {"texts": [value] if isinstance(value, str) else value}
    try:
        truth = msgspec.convert(value, Truth)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{_HERE}: {where}: {exc}.") from exc
    if not (truth.fields or any(text.strip() for text in truth.texts)):
        raise ConfigError(f"{_HERE}: {where} says nothing: give a text, or texts or fields.")
    return truth


def _decoded(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(_text(path), type=kind)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ConfigError(f"{_HERE}: {path} is not as it should be: {exc}.") from exc


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{_HERE}: {path} cannot be read: {exc}.") from exc
