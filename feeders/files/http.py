"""Files behind HTTP, each named by its URL: no server tells what else it has.

A name is the path of its URL relative to the folder that holds them all. What a URL says beside,
a user or a signature, is a secret: it goes to the server it is for, into no name and no message.
"""

from base64 import b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from caption_flow.dataset.source import ShardChanged, SourceOptions
from caption_flow.errors import ConfigError, SourceError
from caption_flow.fetch import Fetched, FetchFailed
from caption_flow.model import Reference
from feeders.beneath import Parts
from feeders.files.client import open_client
from feeders.files.globs import is_glob
from feeders.files.port import Facts, File, FileGone, FileUnreachable, FileUnreadable, order

T = TypeVar("T")
_Origin: TypeAlias = tuple[str, str | None, int | None]

_PORTS = {"http": 80, "https": 443}


class HttpFiles:
    """Files by their URLs, of one server or several."""

    def __init__(self, options: SourceOptions, urls: Sequence[str]) -> None:
        splits = [_split(url) for url in urls]
        common = _shared([_path(one)[:-1] for one in splits])
        self._urls: dict[str, str] = {}
        self._secrets = _Secrets()
        for one in splits:
            self._add("/".join(_path(one)[common:]), one)
        self._names = sorted(self._urls, key=order)
        self.dataset = _dataset(self._names, _path(splits[0])[:common])
        self.client = open_client(self, options, self._secrets.headers)

    def list(self, start: str | None = None) -> Iterator[File]:
        """Give the files in order, from a name on."""
        first = bisect_left(self._names, order(start), key=order) if start else 0
        return map(self.get, islice(self._names, first, None))

    def get(self, name: str) -> File:
        """Find one of the URLs."""
        if name not in self._urls:
            raise FileGone(f"The path names no URL that ends in {name}, or not any more.")
        url = self._urls[name]
        return HttpFile(name, url, self, secret=self._secrets.has(url))

    def _add(self, name: str, url: SplitResult) -> None:
        user, at, _ = url.netloc.rpartition("@")
        plain = urlunsplit(url._replace(netloc=url.netloc[len(user + at) :], fragment=""))
        if self._urls.setdefault(name, plain) != plain:
            raise ConfigError(f"Two URLs of the path differ in their query only: {_public(plain)}")
        if at:
            self._secrets.add(plain, unquote(user))


class _Secrets:
    """Users and passwords, each for its server."""

    def __init__(self) -> None:
        self._words: dict[_Origin, str] = {}

    def add(self, url: str, user: str) -> None:
        self._words[_origin(url)] = f"Basic {b64encode(user.encode()).decode()}"

    def has(self, url: str) -> bool:
        return _origin(url) in self._words

    def headers(self, url: str) -> dict[str, str]:
        word = self._words.get(_origin(url))
        return {"Authorization": word} if word else {}


class HttpFile:
    """A file behind a URL. Nothing is read of another version than facts() told of."""

    def __init__(self, name: str, url: str, all_: HttpFiles, *, secret: bool) -> None:
        self.name = name
        self.where = _public(url)
        self._url = url
        self._all = all_  # the client is open for as long as it is held
        self._secret = secret or "?" in url
        self._told: Fetched | None = None

    def facts(self) -> Facts:
        """Ask the server."""
        found = self._try(lambda: self._all.client.head(self._url))
        if found.total is None:
            raise FileUnreadable(
                f"The server of {self.where} does not say how large it is. Download the file and "
                "name it on this host, or find a server that does."
            )
        self._told = found
        version = found.version
        return Facts(found.total, version or f"{found.total}-", sure=bool(version))

    def read(self, start: int, length: int) -> bytes:
        """Fetch exactly these bytes."""
        if length == 0:
            return b""
        got = self._try(
            lambda: self._all.client.get(self._url, max_bytes=length, start=start, length=length)
        )
        if self._told is not None and _differs(got, self._told):
            raise ShardChanged(f"{self.where} is not what it was: it has changed meanwhile.")
        return got.body

    def stream(self, start: int, end: int | None = None) -> Iterator[bytes]:
        """Fetch from one byte up to another, or to the end, in pieces."""
        if end is not None and start >= end:
            return
        pieces = self._all.client.stream(self._url, start=start, end=end, version=self._told)
        try:
            yield from pieces
        except FetchFailed as exc:
            raise self._trouble(exc) from exc

    def reference(self, start: int | None = None, length: int | None = None) -> Reference | None:
        """Give the URL, unless it works with a secret only."""
        version = self._told.version if self._told else ""
        return None if self._secret else Reference(self._url, start, length, version=version)

    def _try(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except FetchFailed as exc:
            raise self._trouble(exc) from exc

    def _trouble(self, exc: FetchFailed) -> SourceError:
        return trouble(self.where, exc)


def _differs(one: Fetched, other: Fetched) -> bool:
    """Whether two answers are of two versions; where one of them says nothing, they may not be."""
    if None not in {one.total, other.total} and one.total != other.total:
        return True
    if one.etag and other.etag:
        return one.etag != other.etag
    return bool(one.last_modified and other.last_modified) and (
        one.last_modified != other.last_modified
    )


def trouble(where: str, exc: FetchFailed) -> SourceError:
    """Say what a failed download means for a file."""
    if exc.reason == "not_found":
        return FileGone(f"{where} is not there: {exc.detail}.")
    if exc.reason == "changed":
        return ShardChanged(f"{where} is not what it was: {exc.detail}.")
    if exc.transient:
        return FileUnreachable(
            f"{where} cannot be read now: {exc.detail}. Start again when its server answers; "
            "no sample is lost."
        )
    return FileUnreadable(f"{where} cannot be read: {exc.detail}.")


def _split(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        named = bool(split.hostname and split.port != 0 and not split.path.endswith("/"))
    except ValueError as exc:
        raise ConfigError(f"The path holds a URL that cannot be taken apart: {exc}.") from exc
    if not named or not split.path:
        raise ConfigError(f"The URL {_public(url)} names no file. Name each file of the data set.")
    if is_glob(split.path):
        raise ConfigError(
            f"The URL {_public(url)} is a glob, and servers list no files. Use braces, as in "
            "https://host/{000..127}.tar."
        )
    return split


def _path(url: SplitResult) -> Parts:
    # The host first: data sets of several servers have it in their names.
    return (url.netloc.rpartition("@")[2], *url.path.lstrip("/").split("/"))


def _shared(folders: Sequence[Parts]) -> int:
    """Count the components that all begin with."""
    first, last = min(folders), max(folders)
    return next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(last)),
    )


def _origin(url: str) -> _Origin:
    split = urlsplit(url)
    scheme = split.scheme.lower()
    return scheme, split.hostname, split.port or _PORTS.get(scheme)


def _public(url: str) -> str:
    """Leave out of a URL what may be a secret."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _dataset(names: Sequence[str], common: Parts) -> str:
    if len(names) == 1:
        return order(names[0])[-1].partition(".")[0] or "dataset"
    return common[-1].replace(":", "-") if common else "dataset"
