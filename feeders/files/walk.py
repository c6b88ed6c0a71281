"""Files beneath a folder that a glob means, in order, in memory for one path of folders."""

import heapq
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from feeders.beneath import Parts, Tree, UnreadableError
from feeders.files import globs
from feeders.files.port import FileUnreadable
from feeders.ordered import ordered
from feeders.spelling import from_text, to_text

logger = logging.getLogger(__name__)


class Walk:
    """The files that a glob means; all paths are text and relative to the tree."""

    def __init__(
        self, root: Path, pattern: Parts, suffixes: tuple[str, ...], *, follow: bool
    ) -> None:
        self.tree = Tree(root, follow=follow)
        self._follow = follow
        self._pattern = pattern
        self._suffixes = suffixes
        self._where = to_text(os.fspath(root)).rstrip("/")

    def files(self, first: Parts = ()) -> Iterator[Parts]:
        """Give them in order, from the first on."""
        return self._below((), first, ())

    def holds(self, path: Parts) -> bool:
        """Whether a file of this path would be one of them."""
        return globs.means(self._pattern, path) and path[-1].lower().endswith(self._suffixes)

    def _below(self, folder: Parts, first: Parts, above: tuple[Parts, ...]) -> Iterator[Parts]:
        chain = (*above, self.tree.resolve(raw(folder)))
        for name, is_folder in self._entries(folder):
            path = (*folder, name)
            if path < first[: len(path)]:
                continue
            if not is_folder:
                if path >= first and self.holds(path):
                    yield path
            elif globs.may_lead_on(self._pattern, path) and self._is_new(path, chain):
                yield from self._below(path, first, chain)

    def _is_new(self, folder: Parts, chain: tuple[Parts, ...]) -> bool:
        """Tell a folder from one that a link leads back to."""
        try:
            return self.tree.resolve(raw(folder)) not in chain
        except UnreadableError as exc:
            logger.warning("Passing over %s/%s: %s", self._where, "/".join(folder), exc)
            return False

    def _entries(self, folder: Parts) -> Iterator[tuple[str, bool]]:
        files = ((name, False) for name in ordered(self._scan(folder, folders=False)))
        if len(self._pattern) <= len(folder) + 1 and globs.ANY_DEPTH not in self._pattern:
            return files
        folders = ((name, True) for name in ordered(self._scan(folder, folders=True)))
        return heapq.merge(files, folders)

    def _scan(self, folder: Parts, *, folders: bool) -> Iterator[str]:
        fd = self._open(folder)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = to_text(entry.name)
                    if self._is_folder(entry, (*folder, name)) is folders:
                        yield name
        finally:
            os.close(fd)

    def _open(self, folder: Parts) -> int:
        try:
            return self.tree.open_folder(raw(folder))
        except UnreadableError as exc:
            raise FileUnreadable(
                f"The folder {'/'.join((self._where, *folder))} cannot be listed: {exc}. Let this "
                "user read it, or name a path without it; else its shards would be missed."
            ) from exc

    def _is_folder(self, entry: "os.DirEntry[str]", path: Parts) -> bool | None:
        """Tell folders from files; None for what is neither to be walked nor read."""
        try:
            if entry.is_symlink():
                self._check_link(path)
            return entry.is_dir()
        except (OSError, UnreadableError) as exc:
            if self.holds(path):
                logger.warning("Passing over %s: %s", "/".join((self._where, *path)), exc)
            return None

    def _check_link(self, path: Parts) -> None:
        if not self._follow:
            raise UnreadableError("it is a link; set follow_symlinks, or name it in the path")
        self.tree.resolve(raw(path))


def raw(path: Parts) -> Parts:
    """Turn text back into names on disk; UnreadableError for what spells none."""
    return tuple(_raw(part) for part in path)


def _raw(part: str) -> str:
    if part in {"", ".", ".."} or "/" in part or "\0" in part:
        raise UnreadableError("no file or folder has such a name")
    try:
        return from_text(part)
    except ValueError as exc:
        raise UnreadableError("no file or folder has such a name") from exc
