"""Remote: what was asked of a proxy and is not answered yet, so that it can be asked again."""

from collections.abc import Collection, Iterator
from typing import Any, TypeAlias

from msgspec.structs import replace

from caption_flow.model import EntryId
from caption_flow.remote.bridge import Answer
from caption_flow.remote.channel import Channel
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import (
    Complete,
    Counted,
    CountsWanted,
    Defer,
    Did,
    Fail,
    Fetch,
    Leave,
    Lost,
    Refused,
    Release,
    Renewal,
    Serving,
    Settled,
    Suspect,
)

Replies: TypeAlias = Counted | Serving | Did | Lost | Settled | Refused
REPLIES = (Counted, Serving, Did, Lost, Settled, Refused)

# Which frame answers which, and the field that lists samples.
_KINDS: dict[type[Frame], tuple[type[Frame], str]] = {
    CountsWanted: (Counted, ""),
    Fetch: (Did, "entries"),
    Renewal: (Lost, "entries"),
    Complete: (Settled, "done"),
    Fail: (Settled, "failed"),
    Defer: (Did, "deferred"),
    Suspect: (Did, ""),
    Release: (Did, "entries"),
    Leave: (Did, ""),
}


class Request:
    """One request, from when it is made until it is answered or given up."""

    def __init__(self, frame: Any, channel: Channel | None, answer: Answer) -> None:
        """`answer` gets the frame as it was sent last, and the reply to it."""
        self.frame = frame
        self.channel = channel
        self.answer = answer

    def numbered(self, id_: int) -> Frame:
        """Give it the id under which it is sent now."""
        self.frame = replace(self.frame, id=id_)
        return self.frame  # type: ignore[no-any-return]

    def without(self, lost: Collection[EntryId]) -> bool:
        """Ask no more about these samples; False where nothing is left to ask."""
        name = listed(self.frame)
        if isinstance(self.frame, Suspect):
            return self.frame.entry not in lost
        if not name or not lost:
            return True
        left = tuple(one for one in getattr(self.frame, name) if entry_of(one) not in lost)
        self.frame = replace(self.frame, **{name: left})
        return bool(left)

    def check(self, reply: Replies) -> None:
        """See that a reply is one to this; Breach where it is not."""
        expected, name = _KINDS[type(self.frame)]
        if isinstance(reply, Refused):
            return
        fits = isinstance(reply, expected)
        if isinstance(reply, Settled):
            fits = fits and len(reply.ours) == len(getattr(self.frame, name))
        if not fits:
            raise Breach(Close.MALFORMED, "An answer is not one to what was asked.")

    def give(self, result: object) -> None:
        """Pass on what came of it."""
        self.answer.give(result)


def listed(frame: Frame) -> str:
    """Name the field of a request that lists samples; empty where none does."""
    return _KINDS[type(frame)][1]


def entries(frame: Frame) -> Iterator[EntryId]:
    """Name the samples that a request lists."""
    return map(entry_of, getattr(frame, listed(frame)))


def entry_of(one: Any) -> EntryId:
    """Name the sample of one item of such a list."""
    return one if isinstance(one, str) else one[0]
