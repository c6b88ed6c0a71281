"""What was not planned, or is no sample of its chunk, closes the connection of who brings it."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.model import Failure, Reference, Sample
from caption_flow.wire import feeding
from caption_flow.wire.closing import Close
from caption_flow.wire.fields import MOST_RECORD
from caption_flow.wire.frames import (
    pack,
)
from tests.made import jpeg
from tests.proxy.callers import (
    SHA,
    SMALL,
    Feeding,
    chunk_of,
    enter,
    home,
    said_of,
)
from tests.proxy.house import House

__all__ = ["home"]


Lie = Callable[[Sample, bytes], tuple[Sample, bytes, bytes]]
WHY = records.encode(Failure("broken", "it is broken"))
NOTHING = hashlib.sha256(b"").hexdigest()
FILE = Reference("file:///etc/passwd")
WEB = Reference("https://example.com/1.jpg")
LIES: dict[str, Lie] = {
    "another id": lambda s, i: (replace(s, id="other.jpg"), i, b""),
    "an id that leads elsewhere": lambda s, i: (replace(s, id="../../etc/passwd"), i, b""),
    "another chunk": lambda s, i: (replace(s, chunk="other"), i, b""),
    "another data set": lambda s, i: (replace(s, dataset="other"), i, b""),
    "another shard": lambda s, i: (replace(s, shard="other"), i, b""),
    "sampling of its own": lambda s, i: (replace(s, sampling={"top_k": 1}), i, b""),
    "another length": lambda s, i: (replace(s, bytes=s.bytes + 1), i, b""),
    "another hash": lambda s, i: (replace(s, sha256=SHA), i, b""),
    "no image": lambda s, _: (
        replace(s, bytes=0, sha256=hashlib.sha256(b"").hexdigest()),
        b"",
        b"",
    ),
    "sides of no image": lambda s, i: (replace(s, width=-1), i, b""),
    "a strange format": lambda s, i: (replace(s, format="a/b"), i, b""),
    "a source with a NUL": lambda s, i: (replace(s, source="a\0b"), i, b""),
    "columns that nest deep": lambda s, i: (replace(s, columns={"a": nested(200)}), i, b""),
    "a reference beside an image": lambda s, i: (replace(s, reference=WEB), i, b""),
    "a reference to a file": lambda s, _: (
        replace(s, reference=Reference("file:///etc/passwd")),
        b"",
        b"",
    ),
    "an image that was given up": lambda s, i: (s, i, WHY),
}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("lie", LIES)
async def test_offer_of_what_was_not_planned_closes_and_changes_nothing(home: House, lie: str):
    fed = await Feeding.begin(home)
    image = jpeg(0)
    sample, image, why = LIES[lie](said_of(fed.chunk, fed.chunk.names[0], image), image)

    await fed.say([(records.encode(sample), image, why)])

    await fed.client.refused(Close.FORBIDDEN)
    assert (await home.roles.job.counts()).offered == 0


async def test_offer_of_other_sizes_than_it_says_closes(home: House):
    fed = await Feeding.begin(home)

    await fed.say(fed.parts(0, 1), spare=b"more")

    await fed.client.refused(Close.MALFORMED)


async def test_offer_of_more_than_the_chunk_has_closes(home: House):
    fed = await Feeding.begin(home)

    await fed.say(fed.parts(0, 1) * 4)

    await fed.client.refused(Close.FORBIDDEN)


async def test_image_over_its_bound_closes(home: House):
    fed = await Feeding.begin(home)
    image = bytes(SMALL.most_image + 1)

    await fed.say([(records.encode(said_of(fed.chunk, fed.chunk.names[0], image)), image, b"")])

    await fed.client.refused(Close.LARGE)


async def test_record_over_its_bound_closes(home: House):
    fed = await Feeding.begin(home)

    await fed.say([(b"x" * (MOST_RECORD + 1), b"", b"")])

    await fed.client.refused(Close.MALFORMED)


CHUNKS = {
    "a name that leads elsewhere": chunk_of(1, names=("../../etc/passwd",)),
    "a name that leads elsewhere by the other slash": chunk_of(1, names=("..\\passwd",)),
    "a name with a NUL": chunk_of(1, names=("a\0b",)),
    "an empty name": chunk_of(1, names=("",)),
    "a long name": chunk_of(1, names=("a" * (feeding.MOST_NAME + 1),)),
    "a name twice": chunk_of(1, names=("a", "a")),
    "no names": chunk_of(0),
    "a shard that leads elsewhere": chunk_of(1, shard="/etc"),
    "a place too many": chunk_of(1, places=("a", "b")),
    "sampling": chunk_of(1, sampling={"top_k": 1}),
}


@pytest.mark.parametrize("case", CHUNKS)
async def test_chunk_of_names_that_no_source_gives_closes(home: House, case: str):
    client = await enter(home, "feeder")
    frame = feeding.Plan(1, "", "1", 16, done=False)

    await client.connection.send(pack(frame) + records.encode(CHUNKS[case]))

    await client.refused(Close.FORBIDDEN)
    assert (await home.roles.job.counts()).planned == 0
