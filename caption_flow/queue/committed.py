"""Queue: which parts were recorded by those who wrote them, and never forgotten since."""

from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.queue.border import translated
from caption_flow.queue.keys import LaneKeys
from caption_flow.queue.pages import PAGE


class _Record(Struct, frozen=True):
    """Of what is kept of a part, what is asked for here; see sink/records.py."""

    again: bool = False  # it was forgotten, and recorded again


_record = msgspec.json.Decoder(_Record)


async def never_forgotten(client: Any, lane: LaneKeys) -> set[str]:
    """Name them."""
    with translated():
        return {
            part.decode()
            async for part, record in client.hscan_iter(lane.parts, count=PAGE)
            if not _record.decode(record).again
        }
