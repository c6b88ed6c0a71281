"""Image files that rows name: beneath the data set, or beneath image_root, and nowhere else."""

import os
from pathlib import Path

from msgspec import Struct

from caption_flow.dataset.source import SourceOptions
from caption_flow.model import Reference
from feeders.beneath import Parts, Tree, UnreadableError
from feeders.files.find import Files
from feeders.files.port import File, FileGone, FileUnreadable
from feeders.huggingface.whole import whole
from feeders.spelling import from_text

_HINT = "If the rows name files of another folder, name that as image_root"


class Found(Struct, frozen=True):
    """An image that a row names: read, or where a worker can read it."""

    where: str
    image: bytes = b""
    reference: Reference | None = None


class Pointers:
    """Reads what rows point at."""

    def __init__(self, files: Files, options: SourceOptions) -> None:
        self._files = files
        self._limit = options.max_file_size
        self._refer = options.images != "inline"
        self._root = Path(options.image_root).expanduser() if options.image_root else None
        self._tree = Tree(self._root, follow=options.follow_symlinks) if self._root else None

    def find(self, shard: str, path: str) -> Found:
        """Find the file that a row of a shard names; UnreadableError where there is none."""
        if self._tree is not None:
            return self._beneath(self._tree, path)
        parts = _relative(path)
        folder = tuple(shard.split("/")[:-1])
        file, size = self._first("/".join((*folder, *parts)), "/".join(parts), path)
        reference = file.reference() if self._refer else None
        if reference is not None:
            return Found(file.where, reference=reference)
        if size > self._limit:
            raise UnreadableError(f"it has {size:,} bytes; the limit is {self._limit:,}")
        return Found(file.where, whole(file, self._limit))

    def _first(self, beside: str, below: str, path: str) -> tuple[File, int]:
        """Look beside the table, then from the data set's root on."""
        for name in dict.fromkeys((beside, below)):
            try:
                file = self._files.get(name)
                return file, file.facts().size
            except FileGone:
                continue
            except FileUnreadable as exc:
                raise UnreadableError(str(exc)) from exc
        raise UnreadableError(f'the data set has no image file "{path}". {_HINT}')

    def _beneath(self, tree: Tree, path: str) -> Found:
        root = os.fspath(self._root or "")
        inner = path.removeprefix(f"{os.path.realpath(root)}/").removeprefix(f"{root}/")
        parts = _relative(inner)
        try:
            names = tuple(map(from_text, parts))
            folder = tree.open_folder(names[:-1])
        except ValueError as exc:
            raise UnreadableError("no file has such a name") from exc
        try:
            image = tree.read(folder, names[:-1], names[-1], self._limit)
        finally:
            os.close(folder)
        return Found("/".join((root.rstrip("/"), *parts)), image)


def _relative(path: str) -> Parts:
    """Take a path apart that must not lead out."""
    if path.startswith("/") or "\0" in path or "://" in path:
        raise UnreadableError(f'its image "{path}" is no file of the data set. {_HINT}')
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if not parts or ".." in parts:
        raise UnreadableError(f'its image "{path}" leads out of the data set')
    return parts
