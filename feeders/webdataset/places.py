"""Where a sample's members stand in its tar, as it travels in a chunk: "jpg@512+4096 json@5120+20".

The image comes first. Places come back from a queue that strangers may write to: what is read
from one is checked against the tar by whoever uses it.
"""

import re

from msgspec import Struct

MOST_MEMBERS = 64  # of one sample
_MEMBER = re.compile(r"([a-z0-9_+.-]{1,64})@([0-9]{1,18})\+([0-9]{1,18})")
_EXTENSION = re.compile(r"[a-z0-9_+.-]{1,64}")


class Member(Struct, frozen=True):
    """A file in a tar."""

    name: str  # in the tar; or its extension alone, within a sample
    start: int  # first byte of its content
    length: int  # bytes

    @property
    def end(self) -> int:
        """The first byte after its content."""
        return self.start + self.length


def can_be_spelled(extension: str) -> bool:
    """Whether a member of this extension can stand in a place."""
    return bool(_EXTENSION.fullmatch(extension))


def spell(members: list[Member]) -> str:
    """Write down members by their extensions."""
    return " ".join(f"{one.name}@{one.start}+{one.length}" for one in members)


def parse(place: str) -> list[Member]:
    """Read what spell() wrote; ValueError for anything else."""
    words = place.split(" ", MOST_MEMBERS)
    matches = [_MEMBER.fullmatch(word) for word in words]
    found = [Member(m[1], int(m[2]), int(m[3])) for m in matches if m]
    if len(found) != len(words):
        raise ValueError("its place in the shard is no place")
    return found
