"""Remote: what was asked of a proxy and is not answered yet, so that it can be asked again."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, get_args

from msgspec.structs import replace

from caption_flow.model import EntryId
from caption_flow.remote.bridge import Answer
from caption_flow.remote.channel import Channel
from caption_flow.wire import administering, asking, feeding
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

Replies: TypeAlias = (
    Counted
    | Serving
    | Did
    | Lost
    | Settled
    | Refused
    | feeding.ToFeeder
    | asking.Report
    | administering.ToAdmin
)
REPLIES = get_args(Replies)

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
    feeding.Publish: (feeding.Published, ""),
    feeding.Remind: (Did, ""),
    feeding.Position: (feeding.Stands, ""),
    feeding.Epoch: (feeding.Stands, ""),
    feeding.Plan: (feeding.Planned, ""),
    feeding.KnownWanted: (Did, ""),
    feeding.Claim: (feeding.ChunkSent, ""),
    feeding.OfferMade: (feeding.Offered, ""),
    feeding.Look: (feeding.Begun, ""),
    feeding.Withdraw: (feeding.Withdrawn, ""),
    asking.SnapshotWanted: (asking.Report, ""),
    asking.LettersWanted: (asking.Report, ""),
    asking.ColumnsWanted: (asking.Report, ""),
    asking.CaptionsWanted: (asking.Report, ""),
    asking.ShardsWanted: (asking.Report, ""),
    administering.SettingsWanted: (feeding.Published, ""),
    administering.Reload: (administering.Reloaded, ""),
    administering.GiveOrder: (administering.OrderGiven, ""),
    administering.TokensWanted: (asking.Report, ""),
    administering.PutToken: (asking.Report, ""),
    administering.RemoveToken: (asking.Report, ""),
    administering.ContributorsWanted: (asking.Report, ""),
    administering.HandBack: (asking.Report, ""),
}


class Request:
    """One request, from when it is made until it is answered or given up."""

    def __init__(
        self,
        frame: Any,
        channel: Channel | None,
        answer: Answer,
        payload: Sequence[bytes] = (),
    ) -> None:
        """`answer` gets the frame as it was sent last, the reply to it, and the reply's payload."""
        self.frame = frame
        self.payload = payload
        self.channel = channel
        self.answer = answer
        self._come = bytearray()  # of what is answered in several frames

    def numbered(self, id_: int) -> Frame:
        """Give it the id under which it is sent now."""
        self.frame = replace(self.frame, id=id_)
        self._come.clear()
        return self.frame  # type: ignore[no-any-return]

    def narrow(self) -> bool:
        """Ask about what is held at this moment only; False where nothing is left to ask.

        More may have been held when it was made, or when it was sent over another connection.
        """
        if self.channel is None or isinstance(self.frame, Leave):
            return True
        if isinstance(self.frame, Suspect):
            return bool(self.channel.ours([self.frame.entry]))
        ours = self.channel.ours(list(entries(self.frame)))
        name = listed(self.frame)
        left = tuple(one for one in getattr(self.frame, name) if entry_of(one) in ours)
        self.frame = replace(self.frame, **{name: left})
        return bool(left)

    def take(self, payload: bytes) -> None:
        """Keep some of what is answered in several frames."""
        self._come += payload

    def reply(self, reply: Replies | None, payload: bytes = b"") -> None:
        """Pass on an answer; None: there was nothing left to ask."""
        self.give((self.frame, reply, payload or self._come))

    def check(self, reply: Replies) -> None:
        """See that a reply is one to this; Breach where it is not."""
        expected, name = _KINDS[type(self.frame)]
        partial = isinstance(self.frame, feeding.KnownWanted) and isinstance(reply, feeding.Digests)
        if isinstance(reply, Refused) or partial:
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
