"""Names in order, of folders larger than memory.

The operating system gives a folder's entries in no order. Names are sorted in runs; a folder of
more than one run goes through a temporary file, from which the runs are merged while they are
asked for. What is in memory: one run while sorting, one block of each run while merging.
"""

import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from tempfile import TemporaryFile
from typing import IO

RUN = 16_384  # names sorted at a time, about 2 MB
_BLOCK = 8_192  # bytes read ahead of each run
_END = b"\0"  # the one byte, beside the slash, that no name can hold


def ordered(names: Iterable[str]) -> Iterator[str]:
    """Sort names by code points, which is also the order of their UTF-8 bytes."""
    rest = iter(names)
    run = sorted(islice(rest, RUN))
    if len(run) < RUN:
        yield from run
        return
    with TemporaryFile(prefix="caption-flow-names-") as spill:
        runs = []
        while run:
            runs.append(_write(spill, run))
            run = sorted(islice(rest, RUN))
        spill.flush()
        yield from heapq.merge(*(_read(spill.fileno(), *span) for span in runs))


def _write(spill: IO[bytes], run: list[str]) -> tuple[int, int]:
    start = spill.tell()
    spill.writelines(name.encode() + _END for name in run)
    return start, spill.tell()


def _read(fd: int, start: int, end: int) -> Iterator[str]:
    cut = b""
    for at in range(start, end, _BLOCK):
        *whole, cut = (cut + os.pread(fd, min(_BLOCK, end - at), at)).split(_END)
        yield from map(bytes.decode, whole)
