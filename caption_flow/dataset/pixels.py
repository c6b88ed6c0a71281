"""Data set: the encoded image of one sample, read again for whoever looks at its captions.

The source reads it, as for a feeder. Where no source is at hand, what the sample says of itself
is enough if the image lies behind a plain URL. Samples may be strangers': a source refuses names
that lead out of its data set, and a download those that lead into our network.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import UNSET

from caption_flow.dataset.source import Listed, Source
from caption_flow.errors import CaptionFlowError, SourceError
from caption_flow.fetch import DownloadLimits, FetchFailed
from caption_flow.model import Raw, Reference, Sample, sample_name

if TYPE_CHECKING:
    from caption_flow.fetch import BlockingClient

# Who looks at a page waits for no server that is slow or gone.
IMPATIENT = DownloadLimits(seconds=20.0, connect_seconds=5.0, idle_seconds=5.0, tries=1)
MOST_BYTES = 32 << 20  # of one encoded image
_AGAIN_SECONDS = 30.0  # before a source that could not be opened is tried again


class NoPixels(CaptionFlowError):
    """The image of a sample cannot be shown; the sentence says why, and may be shown instead."""


class OutOfReach(NoPixels):
    """No image of its data set can be read here, and not only this one."""


class Pixels:
    """Reads images, from several threads at once."""

    def __init__(
        self,
        open_source: Callable[[], Source] | None = None,
        *,
        allow_networks: Iterable[str] = (),
        download: DownloadLimits = IMPATIENT,
        max_bytes: int = MOST_BYTES,
        unknown: str = "its data set is not known here",
    ) -> None:
        """`unknown`: what is said of images that only a source could read, where there is none."""
        self._opening = _Opening(open_source) if open_source else None
        self._networks = tuple(allow_networks)
        self._limits = download
        self._max_bytes = max_bytes
        self._unknown = unknown
        self._client: BlockingClient | None = None
        self._lock = threading.Lock()

    def of(self, sample: Sample) -> bytes:
        """Read the encoded image of a sample; raises NoPixels, and nothing else."""
        try:
            if self._opening is not None:
                return self._read(_reached(self._opening), sample)
            return self._fetch(self._reference(sample))
        except NoPixels:
            raise
        except FetchFailed as exc:
            raise NoPixels(exc.detail) from exc
        except Exception as exc:
            # Around one sample: whatever a source, perhaps not ours, does not bear.
            raise NoPixels(str(exc) or type(exc).__name__) from exc

    def several(self, samples: Sequence[Sample]) -> list[bytes | NoPixels]:
        """Read the images of samples of one shard; for one that cannot be read comes the reason.

        All in one go, which most sources have less to do for.
        """
        found: list[bytes | NoPixels] = []
        with suppress(Exception):  # then those that are missing are asked for one by one
            self._read_together(samples, found)
        return [*found, *map(self._tried, samples[len(found) :])]

    def close(self) -> None:
        """Leave what is being fetched."""
        if self._client is not None:
            self._client.leave()

    def _read_together(self, samples: Sequence[Sample], found: list[bytes | NoPixels]) -> None:
        names = [sample_name(one.shard, one.id) for one in samples]
        wanted = [Listed(name) for name in names if name is not None]
        if self._opening is None or len(wanted) < len(samples):
            return
        given = self._opening.source().samples(samples[0].shard, wanted)
        for sample, raw in zip(samples, given, strict=False):
            if raw.id != sample.id:
                return
            found.append(self._taken(raw))

    def _tried(self, sample: Sample) -> bytes | NoPixels:
        try:
            return self.of(sample)
        except NoPixels as exc:
            return exc

    def _taken(self, raw: Raw) -> bytes | NoPixels:
        try:
            return self._image(raw)
        except NoPixels as exc:
            return exc
        except FetchFailed as exc:
            return NoPixels(exc.detail)

    def _read(self, source: Source, sample: Sample) -> bytes:
        name = sample_name(sample.shard, sample.id)
        if name is None:
            raise NoPixels("its id is not one of its shard's")
        raw = next(iter(source.samples(sample.shard, [Listed(name)])), None)
        if raw is None:
            raise NoPixels("the data set does not give it")
        return self._image(raw)

    def _image(self, raw: Raw) -> bytes:
        if raw.error:
            raise NoPixels(raw.error)
        if raw.reference is not None:
            return self._fetch(raw.reference)
        return raw.image

    def _reference(self, sample: Sample) -> Reference:
        """Say where the image lies, by what the sample says of itself."""
        if sample.reference is not UNSET:
            return sample.reference
        parts = urlsplit(sample.source)
        # A fragment names a file in an archive.
        if parts.scheme not in {"http", "https"} or parts.fragment:
            raise OutOfReach(self._unknown)
        return Reference(sample.source)

    def _fetch(self, reference: Reference) -> bytes:
        if reference.hub:
            raise OutOfReach(self._unknown)
        fetched = self._http().get(
            reference.url,
            max_bytes=self._max_bytes,
            start=reference.start,
            length=reference.length,
        )
        return fetched.body

    def _http(self) -> "BlockingClient":
        from caption_flow.fetch import BlockingClient  # noqa: PLC0415 - most sources need none

        with self._lock:
            if self._client is None:
                self._client = BlockingClient(self._limits, self._networks)
            return self._client


def _reached(opening: "_Opening") -> Source:
    try:
        return opening.source()
    except Exception as exc:  # of any kind: a source need not be ours
        raise OutOfReach(str(exc) or type(exc).__name__) from exc


class _Opening:
    """A source, opened when it is first asked for: that may take a server's answer."""

    def __init__(self, open_source: Callable[[], Source]) -> None:
        self._open = open_source
        self._source: Source | None = None
        self._failed: tuple[float, str] | None = None  # when, on the monotonic clock, and why
        self._lock = threading.Lock()

    def source(self) -> Source:
        """Give the source; SourceError says why there is none."""
        with self._lock:
            if self._source is None:
                self._source = self._opened()
            return self._source

    def _opened(self) -> Source:
        if self._failed and time.monotonic() < self._failed[0] + _AGAIN_SECONDS:
            raise SourceError(self._failed[1])
        try:
            return self._open()
        except Exception as exc:  # of any kind: a source need not be ours
            self._failed = (time.monotonic(), str(exc) or type(exc).__name__)
            raise
