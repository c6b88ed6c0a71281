"""Export: formats that are a file for each sample, laid out like the source."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from caption_flow.dataset.locks import sync_disk
from caption_flow.export.draft import Draft, writing
from caption_flow.export.ports import Rows
from caption_flow.export.values import rows as objects

Contents = Callable[[Rows], Iterable[bytes]]

_MOST_FOLDERS = 100_000  # whose names are in memory, as those that were made


class SampleFiles:
    """Writes a file for each sample to a hidden tree, which is put in its place in the end."""

    def __init__(self, draft: Draft, extension: str, contents: Contents) -> None:
        self._tree = os.fspath(tree(draft))
        self._extension = extension
        self._contents = contents
        self._rows = draft.progress.settled if draft.progress else 0
        self._made: set[str] = set()  # folders

    def write(self, rows: Rows) -> None:
        """Take samples."""
        with writing(Path(self._tree)):
            for name, content in zip(rows.names, self._contents(rows), strict=True):
                self._put(f"{self._tree}/{name}{self._extension}", content)
        self._rows += len(rows)

    def settle(self) -> int:
        """Let the disk have all that was taken."""
        self._make_folder(self._tree)
        sync_disk(self._tree)  # one by one that would take a thousand times as long
        return self._rows

    def state(self) -> Mapping[str, Any]:
        """Nothing else is needed to go on."""
        return {}

    def finish(self) -> Mapping[str, Any]:
        """Let the disk have the rest."""
        self.settle()
        return {}

    def close(self) -> None:
        """No file is open."""

    def _put(self, path: str, content: bytes) -> None:
        self._make_folder(path.rpartition("/")[0])
        # Not by open(), which takes twice as long.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            while content:
                content = content[os.write(file, content) :]
        finally:
            os.close(file)

    def _make_folder(self, folder: str) -> None:
        if folder in self._made:
            return
        if len(self._made) >= _MOST_FOLDERS:
            self._made.clear()
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - a Path costs as much as the folder
        self._made.add(folder)


def tree(draft: Draft) -> Path:
    """Where the files are drafted."""
    return draft.file("tree")


def metadata(json: Collection[str]) -> Contents:
    """Make JSON of samples; `json`: columns whose texts are JSON."""
    encoder, texts = msgspec.json.Encoder(), frozenset(json)
    return lambda rows: (encoder.encode(one) + b"\n" for one in objects(rows.table, texts))


def captions(rows: Rows) -> Iterable[bytes]:
    """Make text of captions: one as it is, of several each a line."""
    return (joined(some).encode("utf-8", "surrogatepass") for some in rows.texts)


def joined(texts: list[str]) -> str:
    """Put captions into one text; of several none can have lines of its own."""
    return texts[0] if len(texts) == 1 else "\n".join(" ".join(one.splitlines()) for one in texts)
