"""File names as text that any queue and any Parquet file can hold.

A file name is bytes; most are UTF-8, and those stay as they are. A byte that is not becomes a
U+FFFD and two hex digits, and so does each byte of a U+FFFD that a name really has, so the way
back is always open. Only bytes from 80 on are written so: no spelling can smuggle in a slash.
"""

import os
import re

_MARK = "\ufffd"
_ESCAPED = re.compile(_MARK + "([89A-F][0-9A-F])")
_TO_ESCAPE = re.compile(f"[{_MARK}\udc80-\udcff]")  # Python's stand-ins for bytes 80 to FF
_STAND_IN = 0xDC00


def to_text(name: str) -> str:
    """Spell a name, as the operating system gave it, in valid Unicode."""
    return name if name.isascii() else _TO_ESCAPE.sub(_escape, name)


def from_text(text: str) -> str:
    """Turn a spelling back into the name; ValueError where to_text gives no such spelling."""
    if text.isascii():
        return text
    stood_in = _ESCAPED.sub(lambda hit: chr(_STAND_IN + int(hit[1], 16)), text)
    name = os.fsdecode(os.fsencode(stood_in))
    if to_text(name) != text:
        raise ValueError(f"{text!r} spells no name")
    return name


def _escape(hit: re.Match[str]) -> str:
    return "".join(f"{_MARK}{byte:02X}" for byte in os.fsencode(hit[0]))
