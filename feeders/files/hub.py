"""Files of a data set on the Hugging Face hub.

A branch is turned into a commit once, when the data set is opened: from then on all that is read
is of that commit. The list of its files is held in memory; the hub itself keeps those short.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import urlsplit

from caption_flow.dataset.source import SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.fetch import BlockingClient, DownloadLimits, FetchFailed
from caption_flow.model import Reference
from feeders.beneath import Parts
from feeders.files import globs
from feeders.files.http import trouble
from feeders.files.port import Facts, File, FileGone, FileUnreachable, FileUnreadable, order
from feeders.files.repo import PUBLIC, Commit, Hub, HubPath, gated


class HubFiles:
    """Files of one data set, by their paths in it."""

    def __init__(
        self, options: SourceOptions, suffixes: tuple[str, ...], paths: Sequence[str]
    ) -> None:
        named = [HubPath.parse(path) for path in paths]
        repo, revision = _one(named, options)
        self.hub = Hub()
        self.commit = self.hub.pin(repo, revision)
        self.dataset = repo
        self._suffixes = suffixes
        self._patterns = [_pattern(path.inside, options) for path in named]
        self._client = _client(
            self.hub.endpoint, self.hub.token, options.download, options.allow_networks, os.getpid()
        )
        listed = self.hub.files(self.commit, _shared_folder(named, suffixes))
        self._files = {
            name: listed[name] for name in sorted(listed, key=order) if self._wanted(name)
        }

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give the files in order, from a name on."""
        first = order(start) if start else ()
        return (self._file(name) for name in self._files if order(name) >= first)

    def get(self, name: str) -> "HubFile":
        """Give one file by its name."""
        if name not in self._files:
            raise FileGone(f"{self._where(name)} is not among the files of the data set.")
        return self._file(name)

    def _file(self, name: str) -> "HubFile":
        return HubFile(name, self._files[name], self.commit, self._client)

    def _where(self, name: str) -> str:
        return f"{self.commit.endpoint}/{self.commit.path(name)}"

    def _wanted(self, name: str) -> bool:
        parts = tuple(name.split("/"))
        return parts[-1].lower().endswith(self._suffixes) and any(
            globs.means(pattern, parts[: len(pattern)] if exact else parts)
            for pattern, exact in self._patterns
        )


class HubFile:
    """One file at one commit."""

    def __init__(self, name: str, facts: Facts, commit: Commit, client: BlockingClient) -> None:
        self.name = name
        self.where = f"{commit.endpoint}/{commit.path(name)}"
        self._facts = facts
        self._commit = commit
        self._client = client

    def facts(self) -> Facts:
        """Tell what the list of files says: a file of a commit never changes."""
        return self._facts

    def read(self, start: int, length: int) -> bytes:
        """Read exactly these bytes."""
        if start + length > self._facts.size:
            raise FileUnreadable(f"{self.where} ends at byte {self._facts.size:,}.")
        if not length:
            return b""
        try:
            got = self._client.get(self.where, max_bytes=length, start=start, length=length)
        except FetchFailed as exc:
            raise self._told(exc) from exc
        if len(got.body) != length:
            raise FileUnreachable(f"{self.where} was cut off at byte {start + len(got.body):,}.")
        return got.body

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Read from one byte up to another in pieces."""
        stop = self._facts.size if end is None else min(end, self._facts.size)
        if start >= stop:
            return
        try:
            yield from self._client.stream(self.where, start=start, end=stop)
        except FetchFailed as exc:
            raise self._told(exc) from exc

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        """Name it below the hub's endpoint, if anyone may read it."""
        if not self._commit.public:
            return None
        return Reference(self._commit.path(self.name), start, length, hub=True)

    def _told(self, exc: FetchFailed) -> SourceError:
        if exc.reason == "forbidden":
            page = f"{self._commit.endpoint}/datasets/{self._commit.repo}"
            return SourceError(gated(page, has_token=self._commit.has_token))
        return trouble(self.where, exc)


def _one(paths: Sequence[HubPath], options: SourceOptions) -> tuple[str, str | None]:
    """All paths are of one data set at one revision."""
    repos = {path.repo for path in paths}
    revisions = {r for r in (options.revision, *(path.revision for path in paths)) if r}
    if len(repos) > 1 or len(revisions) > 1:
        both = ", ".join(sorted(repos if len(repos) > 1 else revisions))
        raise ConfigError(f"One data set at one revision is read at a time. Named are: {both}.")
    return repos.pop(), next(iter(revisions), None)


def _pattern(inside: str, options: SourceOptions) -> tuple[Parts, bool]:
    """Give a pattern, and whether what lies beneath what it means is meant as well."""
    if not inside:
        return ((globs.ANY_DEPTH,) if options.recursive else ("*",)), False
    return tuple(inside.split("/")), not globs.is_glob(inside)


def _shared_folder(paths: Sequence[HubPath], suffixes: tuple[str, ...]) -> str:
    """Find the folder that holds all that is named, so that no more needs listing."""
    folders = [_fixed(path.inside, suffixes) for path in paths]
    shared: list[str] = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _fixed(inside: str, suffixes: tuple[str, ...]) -> list[str]:
    parts = inside.split("/") if inside else []
    end = next((at for at, part in enumerate(parts) if globs.is_glob(part)), len(parts))
    is_file = end == len(parts) and inside.lower().endswith(suffixes)
    return parts[: end - 1 if is_file else end]


@cache
def _client(
    endpoint: str,
    token: str | None,
    limits: DownloadLimits,
    networks: tuple[str, ...],
    process: int,  # noqa: ARG001 - a fork has no use for its parent's connections
) -> BlockingClient:
    """Make a client that shows the token to the hub, and trusts one that the operator named."""
    parts = urlsplit(endpoint)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    trusted = () if endpoint == PUBLIC else ((parts.hostname or "", port),)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return BlockingClient(limits, networks, lambda _: headers, trusted=trusted)
