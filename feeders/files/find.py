"""The files of a data set, from the path that the configuration names.

A path is a file, a folder, a glob, a URL, a place on the hub, or several of one kind joined by
"::"; {000..127} and {a,b} stand for many, as in a shell.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import ConfigError
from feeders.files.braces import expand
from feeders.files.globs import is_glob
from feeders.files.local import LocalFiles
from feeders.files.port import File

_URL = re.compile(r"https?://", re.IGNORECASE)
_HUB = "hf://"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_JOINED = "::"


class Finder(Protocol):
    """Knows all files of one place."""

    dataset: str

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give the files in order, from a name on."""
        ...

    def get(self, name: str) -> File:
        """Find a file by a name that strangers may have written."""
        ...


class Files:
    """The files that a path stands for, with one of these suffixes where it names none."""

    def __init__(self, options: SourceOptions, suffixes: tuple[str, ...]) -> None:
        self._finder = _open(options, suffixes)
        self.dataset = options.name or self._finder.dataset  # what to call all of them

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give the files sorted by their components, from `start` on, which may be gone."""
        return self._finder.list(start)

    def get(self, name: str) -> File:
        """Give a file by its name; FileGone where the data set has none of that name.

        The name may come from strangers. That there is such a file is not certain before it is
        asked for its facts.
        """
        return self._finder.get(name)


def _open(options: SourceOptions, suffixes: tuple[str, ...]) -> Finder:
    terms = _terms(options.path)
    kinds = {_kind(term, suffixes) for term in terms}
    if len(kinds) > 1:
        raise ConfigError(
            f"The path {options.path} joins files of this host, URLs or places on the hub. "
            "Make a job for each."
        )
    if kinds == {"http"}:
        from feeders.files.http import HttpFiles  # noqa: PLC0415 - loads what few need

        return HttpFiles(options, _all(terms))
    if kinds == {"hub"}:
        from feeders.files.hub import HubFiles  # noqa: PLC0415 - loads what few need

        return HubFiles(options, suffixes, _all(terms))
    return LocalFiles(options, suffixes, _all(terms))


def _terms(path: str) -> list[str]:
    terms = [path] if _is_there(path) else [term for term in path.split(_JOINED) if term]
    if not terms:
        raise ConfigError("The source has an empty path. Name a file, a folder, a glob or a URL.")
    return terms


def _kind(term: str, suffixes: tuple[str, ...]) -> str:
    if _URL.match(term):
        return "http"
    if term.lower().startswith(_HUB):
        return "hub"
    named = term.lower().endswith(suffixes) or is_glob(term) or _is_there(term)
    return "local" if named or not _REPOSITORY.fullmatch(term) else "hub"


def _all(terms: list[str]) -> list[str]:
    found: list[str] = []
    for term in terms:
        found += [term] if _is_there(term) else expand(term)
    return found


def _is_there(path: str) -> bool:
    return bool(path) and not _URL.match(path) and os.path.lexists(Path(path).expanduser())
