"""What stands in an image column: an image, the path of one, or nothing."""

from typing import Any, TypeAlias

from msgspec import Struct

_BYTES = bytes | bytearray | memoryview
MISSING = "no_image"  # the reason of a sample that has none


class Pointed(Struct, frozen=True):
    """An image that lies in a file of its own."""

    path: str


class Missing(Struct, frozen=True):
    """Why there is no image."""

    why: str


Picture: TypeAlias = bytes | Pointed | Missing


def picture(value: Any) -> Picture:
    """Find the image of a cell. Of a list of images it is the first."""
    if isinstance(value, list):
        return picture(value[0]) if value else Missing("its list of images is empty")
    if value is None:
        return Missing("its image is null")
    if isinstance(value, _BYTES):
        return bytes(value)
    if isinstance(value, dict):
        return _of_two(value.get("bytes"), value.get("path"))
    if isinstance(value, str) and value:
        return Pointed(value)
    return Missing(f"its image column holds no image but {type(value).__name__}")


def _of_two(data: Any, path: Any) -> Picture:
    if isinstance(data, _BYTES):
        return bytes(data)
    if isinstance(path, str) and path:
        return Pointed(path)
    return Missing("its image is null")
