"""Export: the images of samples, read again from their data set, several ahead, in order."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from msgspec import Struct

from caption_flow.dataset.pixels import NoPixels, OutOfReach, Pixels
from caption_flow.errors import BadImage, CaptionFlowError
from caption_flow.image.sniff import sniff
from caption_flow.model import Sample

_THREADS = 8
_TOGETHER = 16  # images of one shard that a source is asked for at once
_AHEAD_BYTES = 64 << 20  # of images that wait; as much again is being written
_LEAST_BYTES = 100_000  # of an image of which nobody knows how large it is

_EXTENSIONS = {"jpeg": "jpg"}  # of formats that are called otherwise


class Image(Struct, frozen=True):
    """An image as its source has it, or why it has none."""

    data: bytes = b""
    extension: str = ""  # by what it is
    error: str = ""


class OutOfSight(CaptionFlowError):
    """No image of the data set can be read."""


class Images:
    """Reads the images of rows."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="images")

    def of(self, rows: pa.RecordBatch) -> Iterator[Image]:
        """Give the image of each row; OutOfSight where none of the data set can be read."""
        texts = (_column(rows, name) for name in ("id", "dataset", "shard", "chunk", "source"))
        samples = [
            Sample(id_, dataset or "", shard or "", chunk or "", source or "")
            for id_, dataset, shard, chunk, source in zip(*texts, strict=True)
        ]
        begun: deque[_Window] = deque()
        for window in _windows(samples, _column(rows, "bytes")):
            begun.append(_Window(window, self._pool, self._pixels))
            if len(begun) > 1:
                yield from begun.popleft().images()
        for last in begun:
            yield from last.images()

    def close(self) -> None:
        """Leave what is being read."""
        self._pixels.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


_Some = list[int]  # places in a window


class _Window:
    """Samples whose images are read at the same time, those of one shard together."""

    def __init__(self, samples: Sequence[Sample], pool: ThreadPoolExecutor, pixels: Pixels) -> None:
        self._count = len(samples)
        self._reading: list[tuple[_Some, Future[list[bytes | NoPixels]]]] = [
            (some, pool.submit(pixels.several, [samples[place] for place in some]))
            for some in _together(samples)
        ]

    def images(self) -> Iterator[Image]:
        """Wait for them, and give them in the order of the samples."""
        found = [Image()] * self._count
        for some, reading in self._reading:
            for place, data in zip(some, reading.result(), strict=True):
                found[place] = _image(data)
        yield from found


def _image(data: bytes | NoPixels) -> Image:
    if isinstance(data, OutOfReach):
        raise OutOfSight(
            f"The images cannot be read: {str(data).rstrip('.')}. --dataset PATH says where they "
            "are, and --captions-only leaves them out. The same command goes on from here."
        )
    if isinstance(data, NoPixels):
        return Image(error=str(data))
    try:
        form = sniff(data)
    except BadImage as exc:
        return Image(error=str(exc))
    return Image(data, _EXTENSIONS.get(form, form))


def _windows(samples: Sequence[Sample], sizes: Sequence[int | None]) -> Iterator[list[Sample]]:
    window: list[Sample] = []
    held = 0
    for sample, size in zip(samples, sizes, strict=True):
        if window and held >= _AHEAD_BYTES:
            yield window
            window, held = [], 0
        window.append(sample)
        held += max(size or 0, _LEAST_BYTES)
    if window:
        yield window


def _together(samples: Sequence[Sample]) -> Iterator[_Some]:
    """Put samples of one shard together, so many at most, and about as they lie there."""
    shards: dict[str, _Some] = {}
    for place, sample in enumerate(samples):
        shards.setdefault(sample.shard, []).append(place)
    for some in shards.values():
        some.sort(key=lambda place: (len(samples[place].id), samples[place].id))
        yield from (some[at : at + _TOGETHER] for at in range(0, len(some), _TOGETHER))


def _column(rows: pa.RecordBatch, name: str) -> Sequence[Any]:
    if name not in rows.schema.names:  # of parts that are not quite ours
        return [None] * int(rows.num_rows)
    values: list[Any] = rows.column(name).to_pylist()
    return values
