"""Export: the index of a tar, as webshart has it, into which captions are put.

`{"files": {"0001.jpg": {"offset": 512, "length": 9}}}`, or a list of such entries, with their paths
in them. All else stays as it was written, number for number.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from caption_flow.errors import StorageUnfit

_FILES = "files"
_PATHS = ("path", "filename", "fname")  # where an entry of a list says what it is of
_OURS = "captions"
_OLD = "caption"  # which webshart takes for the same; both at once it cannot read
_TEXTS = re.compile(r"\.(json|txt|cls)\Z", re.IGNORECASE)  # members that are no samples
_NUMBERED = re.compile(r"~\d+\Z")  # of a sample whose key had come before

_Entry = dict[str, msgspec.Raw]


class Index:
    """An index that is changed."""

    def __init__(self, path: Path) -> None:
        """Read it; StorageUnfit where it is none."""
        try:
            self._whole = msgspec.json.decode(path.read_bytes(), type=_Entry)
            self._files = _files(self._whole[_FILES])
        except (OSError, msgspec.MsgspecError, KeyError) as exc:
            why = f"there is no {exc}" if isinstance(exc, KeyError) else str(exc)
            raise StorageUnfit(
                f"{path} is no index of webshart ({why}). Put a sound one in its place, or move it "
                "to another folder: then its shard is left out."
            ) from exc
        self._places = _places(self._files)
        self._taken: set[int] = set()

    def put(self, name: str, source: str, captions: Sequence[str]) -> bool:
        """Give a sample of the tar its captions; False where it has no entry."""
        places = self._find(name, source)
        if not places or self._taken.intersection(places):
            return False
        self._taken.update(places)
        value = captions[0] if len(captions) == 1 else captions
        for place in places:
            entry = self._files[place][1]
            entry.pop(_OLD, None)
            entry[_OURS] = msgspec.Raw(msgspec.json.encode(value))
        return True

    def encode(self) -> bytes:
        """Write it."""
        listed = _is_list(self._whole[_FILES])
        entries = [entry for _, entry in self._files]
        files = entries if listed else dict(self._files)
        self._whole[_FILES] = msgspec.Raw(msgspec.json.encode(files))
        return msgspec.json.encode(self._whole) + b"\n"

    def _find(self, name: str, source: str) -> list[int]:
        """Find the entry of a sample: that of its image, or those of its key."""
        for one in (name, *_members(name, source)):
            if found := self._places.get((one, True)):
                return found
        return self._places.get((name, False), [])


def _files(raw: msgspec.Raw) -> list[tuple[str, _Entry]]:
    if not _is_list(raw):
        return list(msgspec.json.decode(raw, type=dict[str, _Entry]).items())
    entries = msgspec.json.decode(raw, type=list[_Entry])
    return [(_path(entry), entry) for entry in entries]


def _is_list(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"["


def _path(entry: _Entry) -> str:
    for name in _PATHS:
        if name in entry:
            return msgspec.json.decode(entry[name], type=str)
    return ""


def _places(files: Sequence[tuple[str, _Entry]]) -> dict[tuple[str, bool], list[int]]:
    """Say which entries have a path, and which may be images of a key."""
    places: dict[tuple[str, bool], list[int]] = {}
    for place, (path, _) in enumerate(files):
        plain = path.removeprefix("./")
        places.setdefault((plain, True), []).append(place)
        folder, slash, last = plain.rpartition("/")
        if not _TEXTS.search(last):
            key = f"{folder}{slash}{last.partition('.')[0]}"
            places.setdefault((key, False), []).append(place)
    return places


def _members(name: str, source: str) -> list[str]:
    """Tell by where a sample came from, `…/0001.tar#NAME.jpg`, what its image is called."""
    _, found, extension = source.rpartition(f"#{name}.")
    if not found:
        return []
    return [f"{name}.{extension}", f"{_NUMBERED.sub('', name)}.{extension}"]
