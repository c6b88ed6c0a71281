"""Runs of bytes of a file, read in the order in which they are asked for.

Runs that lie close together are one request, or one read from front to back; where much lies
between them it is not read.
"""

from collections.abc import Sequence

from caption_flow.dataset.source import ShardChanged
from feeders.files.port import File
from feeders.webdataset.forward import Forward
from feeders.webdataset.places import Member

GAP = 64 << 10  # bytes that are rather read than jumped over


class Spans:
    """Reads members that are all known beforehand, one after the other."""

    def __init__(self, file: File, members: Sequence[Member]) -> None:
        self._file = file
        self._ends = _ends(members)
        self._number = 0  # of the member to be read next
        self._until = -1  # where the stream that is open ends
        self._stream = Forward(iter(()))

    def take(self, member: Member) -> bytes:
        """Read the next member."""
        until = self._ends[self._number]
        self._number += 1
        if until != self._until or member.start < self._stream.tell():
            self._stream = Forward(self._file.stream(member.start, until), member.start)
            self._until = until
        self._stream.seek(member.start)
        data = self._stream.read(member.length)
        if len(data) < member.length:
            raise ShardChanged(f"{self._file.where} is shorter than it was.")
        return data

    def go_on(self, number: int) -> None:
        """Go on with the member of this number, anew, after one that could not be read."""
        self._number, self._until = number, -1


def _ends(members: Sequence[Member]) -> list[int]:
    """Find for each member where the request that reads it ends."""
    ends = [member.end for member in members]
    for at in range(len(members) - 2, -1, -1):
        gap = members[at + 1].start - members[at].end
        if 0 <= gap <= GAP:
            ends[at] = ends[at + 1]
    return ends
