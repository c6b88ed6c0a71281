"""What a shard holds, found once and kept: reading all of a tar's headers is dear, most over HTTP.

An index is lines of JSON, one sample each. It is good for one version of one shard. The newest
are in memory; a copy of each lies in the cache folder, for the next feeder of this host. A cache
that cannot be used costs time and nothing else.
"""

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec

from caption_flow.model import Listed

logger = logging.getLogger(__name__)

_IN_MEMORY = 2  # indexes: one is being planned, another being read from
_MAGIC = b"caption-flow tar index 1\n"
_LARGEST = 1 << 30  # bytes of a file that may be one
_LINE = msgspec.json.Encoder()
_decode = msgspec.json.Decoder(tuple[str, str]).decode


class Index:
    """The samples of one version of a shard."""

    def __init__(self, lines: bytes) -> None:
        self.lines = lines

    @classmethod
    def of(cls, samples: Iterable[Listed]) -> "Index":
        """Write down samples in their order."""
        lines = bytearray()
        for one in samples:
            lines += _LINE.encode((one.name, one.place))
            lines += b"\n"
        return cls(bytes(lines))

    def __iter__(self) -> Iterator[Listed]:
        at = 0
        while (end := self.lines.find(b"\n", at)) >= 0:
            yield Listed(*_decode(self.lines[at:end]))
            at = end + 1

    def find(self, names: set[str]) -> dict[str, str]:
        """Look up the places of some samples."""
        return {one.name: one.place for one in self if one.name in names} if names else {}


class Shelf:
    """Where indexes are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest: OrderedDict[str, Index] = OrderedDict()
        self._lock = threading.Lock()  # one at a time: who waits mostly waits for the same one

    def get(self, name: str, make: Callable[[], Iterable[Listed]]) -> Index:
        """Give the index of a name; it is made where none is kept."""
        with self._lock:
            index = self._newest.get(name) or self._load(name)
            if index is None:
                index = Index.of(make())
                self._store(name, index)
            self._newest[name] = index
            self._newest.move_to_end(name)
            while len(self._newest) > _IN_MEMORY:
                self._newest.popitem(last=False)
        return index

    def _load(self, name: str) -> Index | None:
        path = self._path(name)
        try:
            if path.stat().st_size > _LARGEST:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        head, body = data[: len(_MAGIC) + 65], data[len(_MAGIC) + 65 :]
        whole = head == _MAGIC + _digest(body) + b"\n"
        return Index(body) if whole else None

    def _store(self, name: str, index: Index) -> None:
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, delete=False) as file:
                try:
                    file.write(_MAGIC + _digest(index.lines) + b"\n" + index.lines)
                    file.flush()
                    Path(file.name).replace(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as exc:
            logger.debug("Not keeping an index in %s: %s", path.parent, exc)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.idx"


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def name_of(*key: str) -> str:
    """Make a file name of what something is good for."""
    return hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()


def cache_folder(cache_dir: str | None) -> Path:
    """Find where tars' indexes and copies may be kept."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser() / "tars"
    above = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(above) / "caption-flow" / "tars"
