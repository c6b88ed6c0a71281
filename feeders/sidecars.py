"""Columns from the files that lie beside an image.

`cat.jpg` takes the members of `cat.json` as its columns and the content of `cat.txt` as its column
"text". A sidecar that cannot be read costs the sample its columns, never its caption: the reason
stands in the column "sidecar_error".
"""

from collections.abc import Callable

import msgspec

from caption_flow.model import Columns

MAX_BYTES = 1 << 20  # of one sidecar
ERROR_COLUMN = "sidecar_error"


class SidecarError(Exception):
    """A sidecar that holds no columns; the message says why."""


def _json(data: bytes) -> Columns:
    try:
        members = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise SidecarError(f"is not JSON: {exc}") from exc
    if not isinstance(members, dict):
        raise SidecarError("is JSON, but not an object")
    return members


def _text(data: bytes) -> Columns:
    try:
        return {"text": data.decode("utf-8-sig").rstrip("\r\n")}
    except UnicodeDecodeError as exc:
        raise SidecarError(f"is not UTF-8: {exc.reason} at byte {exc.start}") from exc


READERS: dict[str, Callable[[bytes], Columns]] = {"json": _json, "txt": _text}
