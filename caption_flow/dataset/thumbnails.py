"""Data set: small pictures of samples, made in a few threads and kept while there is room."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, TypeAlias

from msgspec import Struct

from caption_flow.dataset.pixels import NoPixels
from caption_flow.errors import BadImage
from caption_flow.image.thumbnail import thumbnail
from caption_flow.model import Sample

Size: TypeAlias = Literal["small", "large"]
_Key: TypeAlias = tuple[str, str, str, Size]

SIDES: dict[Size, int] = {"small": 320, "large": 1280}  # pixels of the longer side
KEPT_BYTES = 48 << 20  # of all pictures
_THREADS = 8  # mostly waiting for a disk or a server
_DECODERS = 2  # at once: decoding takes memory, see thumbnail
_MOST_WAITING = 256  # pictures
_FAILED_SECONDS = 60.0  # before one that could not be had is tried again
_FAILURE_BYTES = 512  # that a failure counts for


class TooMany(NoPixels):
    """There may be a picture soon: too many others are being read now."""


class _Kept(Struct, frozen=True):
    picture: bytes
    why: str = ""  # there is none
    until: float = float("inf")  # on the monotonic clock

    @property
    def size(self) -> int:
        return len(self.picture) or _FAILURE_BYTES


class Thumbnails:
    """Gives pictures to callers from any thread, each made once however many ask."""

    def __init__(self, read: Callable[[Sample], bytes], *, kept_bytes: int = KEPT_BYTES) -> None:
        self._read = read
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._size = 0  # bytes of what is kept
        self._made: dict[_Key, Future[bytes]] = {}  # in the making
        self._lock = threading.Lock()
        self._decoding = threading.Semaphore(_DECODERS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="caption-flow-picture")

    def of(self, sample: Sample, size: Size) -> "Future[bytes]":
        """Give a WebP, now or later; NoPixels where there is none, TooMany where none is yet."""
        key = (sample.shard, sample.id, sample.source, size)
        with self._lock:
            if (kept := self._find(key)) is not None:
                return _settled(kept)
            if key in self._made:
                return self._made[key]
            if len(self._made) >= _MOST_WAITING:
                full: Future[bytes] = Future()
                full.set_exception(TooMany("too many pictures are being read; try again"))
                return full
            self._made[key] = future = self._threads.submit(self._make, sample, key)
            return future

    def close(self) -> None:
        """Begin no picture any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _find(self, key: _Key) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or time.monotonic() >= kept.until:
            return None
        self._kept.move_to_end(key)
        return kept

    def _make(self, sample: Sample, key: _Key) -> bytes:
        kept = self._made_of(sample, key[-1])
        with self._lock:
            self._keep(key, kept)
            del self._made[key]
        return _settled(kept).result()

    def _made_of(self, sample: Sample, size: Size) -> _Kept:
        try:
            data = self._read(sample)
            with self._decoding:
                return _Kept(thumbnail(data, SIDES[size]))
        except BadImage as exc:
            return _Kept(b"", exc.detail, time.monotonic() + _FAILED_SECONDS)
        except Exception as exc:  # around one sample: its neighbours are shown
            return _Kept(b"", str(exc), time.monotonic() + _FAILED_SECONDS)

    def _keep(self, key: _Key, kept: _Kept) -> None:
        if (before := self._kept.pop(key, None)) is not None:
            self._size -= before.size
        self._kept[key] = kept
        self._size += kept.size
        while self._size > self._kept_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size


def _settled(kept: _Kept) -> "Future[bytes]":
    future: Future[bytes] = Future()
    if kept.why or not kept.picture:
        future.set_exception(NoPixels(kept.why or "there is no picture"))
    else:
        future.set_result(kept.picture)
    return future
