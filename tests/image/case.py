"""The form in which the zoo's animals are described, and the makers that most of them share."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from tests.image.makers import RED, SIZE, encode, lying, noise, picture

Maker = Callable[[], bytes]
FoundBy = Literal["", "feeder", "worker"]


class Case(Struct, frozen=True):
    """One kind of file."""

    name: str
    file_name: str
    data: Maker
    ok: bool
    reason: str = ""  # of the BadImage
    size: tuple[int, int] | None = None  # upright
    found_by: FoundBy = ""  # who refuses it
    colour: tuple[int, int, int] = RED  # in the upper left corner
    ground: tuple[int, int, int] | None = None  # in the lower right corner
    frames: int = 1


def good(name: str, file_name: str, data: Maker, **expected: Any) -> Case:
    """An image that is captioned."""
    return Case(name, file_name, data, ok=True, **{"size": SIZE, **expected})


def bad(reason: str, found_by: FoundBy, name: str, file_name: str, data: Maker) -> Case:
    """A file that is refused."""
    return Case(name, file_name, data, ok=False, reason=reason, found_by=found_by)


def saved(form: str, mode: str = "RGB", **options: Any) -> Maker:
    """The picture as Pillow saves it."""
    return lambda: encode(picture(mode), form, **options)


def turned(form: str, orientation: int) -> Maker:
    """The picture as a camera held that way saves it."""

    def make() -> bytes:
        stored, exif = lying(orientation)
        return encode(stored, form, exif=exif)

    return make


def cut(form: str, keep: float, **options: Any) -> Maker:
    """The first part of a file with much in it."""

    def make() -> bytes:
        whole = encode(noise(120), form, **options)
        return whole[: int(len(whole) * keep)]

    return make
