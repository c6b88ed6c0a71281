"""The folders in which images lie that rows name by their paths.

A row may be a stranger's, as where others feed through a proxy. So without image_root only the
one folder counts in which all of the first images of a job lie; with it, what lies beneath it.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

from msgspec.structs import replace

from caption_flow.dataset.source import Source, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from feeders.folder import FolderSource
from feeders.spelling import from_text

_MOST = 64  # folders that are known at a time
_SHOWN = 3  # folders told in an error
# Steps right beneath the root of a host in which lies what is nobody's data set.
_BROAD = frozenset(
    {
        *("Users", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt"),
        *("private", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"),
    }
)


class Roots:
    """Opens folders of images."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = replace(options, columns=None, sidecars=(), recursive=True)
        told = options.image_root
        self._within = None if told is None else str(Path(told).expanduser())
        self._admitted: set[str] = set()
        self._opened: dict[str, Source] = {}
        self._lock = Lock()

    def admit(self, roots: Sequence[str]) -> None:
        """Let images of the folder be read that the first rows of a job agree on, as they spell it.

        ConfigError where they do not, or where it is none that a row alone may open.
        """
        if self._within is not None or not roots:
            return
        apart = list({_real(root): root for root in reversed(roots)}.values())[::-1]
        if len(apart) > 1:
            shown = ", ".join(apart[:_SHOWN]) + (", …" if len(apart) > _SHOWN else "")
            raise ConfigError(
                f"The first images of {self._options.path} lie in several folders: {shown}. Set "
                "dataset.image_root to the folder that holds those that are to be read."
            )
        if _is_broad(apart[0]):
            raise ConfigError(
                f"The first images of {self._options.path} lie in {apart[0]}, which holds more "
                "than images, and rows may be a stranger's. Set dataset.image_root to the folder "
                "beneath which all is to be read that rows name."
            )
        self._admitted.update(roots)

    def of(self, root: str, id_: str) -> Source | str:
        """Open a folder for one of its images, or the one where that lies now; or say why not."""
        if self._within is None and root not in self._admitted:
            return (
                f"it lies in {root}, and the first of its job do not. Set dataset.image_root to "
                "the folder that holds all that are to be read"
            )
        path = self._path(root, id_)
        with self._lock:
            if path not in self._opened:
                if len(self._opened) >= _MOST:
                    self._opened.clear()
                self._opened[path] = self._open(path)
            return self._opened[path]

    def _path(self, root: str, id_: str) -> str:
        path = _plain(root)
        if self._within is None:
            return path
        # A file says it: beneath the folder, too, there may be one of the same name.
        there = (one for one in self._beneath(path) if os.path.lexists(f"{one}/{_plain(id_)}"))
        return next(there, self._within)

    def _beneath(self, path: str) -> Iterator[str]:
        """Name where in the folder that was named the images of another may lie, likely first."""
        within = self._within or ""
        for one in (path, f"{within}/{Path(path).name}"):
            real = Path(os.path.realpath(one))
            if real.is_relative_to(os.path.realpath(within)) and real.is_dir():
                yield one

    def _open(self, path: str) -> Source:
        try:
            return FolderSource(replace(self._options, path=path))
        except SourceError as exc:
            raise SourceError(
                f"The images of {self._options.path} are not where they were captioned: {exc} If "
                "they have been moved, say with dataset.image_root in which folder they are now."
            ) from exc


def _is_broad(root: str) -> bool:
    steps = Path(_real(root)).parts[1:]
    return not steps or (len(steps) == 1 and steps[0] in _BROAD)


def _real(root: str) -> str:
    return os.path.realpath(Path(_plain(root)).expanduser())


def _plain(spelled: str) -> str:
    try:
        return from_text(spelled)
    except ValueError:
        return spelled
