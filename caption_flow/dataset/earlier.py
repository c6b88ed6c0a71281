"""Data set: whether a path leads to the captions of an earlier job, by what lies there.

Asked of every folder that is to be captioned, which may hold very many files: so a few are looked
at, and none is opened.
"""

import os
from itertools import islice
from pathlib import Path

JOINED = "::"  # between several folders
_LOOKED_AT = 64  # files of a folder
_BEGIN, _END = "part-", ".parquet"


def folders(path: str) -> list[str]:
    """Part a path at what joins several, unless one is called so."""
    if os.path.lexists(Path(path).expanduser()):
        return [path]
    return [one for one in path.split(JOINED) if one] or [path]


def holds_captions(path: str) -> bool:
    """Whether there are parts in each of its folders, and nothing but tables."""
    return all(map(_holds_parts, folders(path)))


def is_part(name: str) -> bool:
    """Whether a file is called like a finished part."""
    return name.startswith(_BEGIN) and _is_table(name)


def _holds_parts(folder: str) -> bool:
    seen = _seen(folder)
    return any(map(is_part, seen)) and all(map(_is_table, seen))


def _seen(folder: str) -> list[str]:
    """Name a few of the files of a folder, but for hidden ones, as of parts that were merged."""
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            visible = (entry.name for entry in entries if not entry.name.startswith("."))
            return list(islice(visible, _LOOKED_AT))
    except OSError:
        return []


def _is_table(name: str) -> bool:
    return name.endswith(_END)
