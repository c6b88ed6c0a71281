"""Proxy: how a client hears that what it asked was not done. It is not told where our Redis is."""

from caption_flow.errors import CaptionFlowError, QueueFull, QueueUnfit, QueueUnreachable
from caption_flow.wire.fields import Refusal
from caption_flow.wire.frames import Refused

_REFUSALS: tuple[tuple[type[CaptionFlowError], Refusal, str], ...] = (
    (QueueUnreachable, "unreachable", "The queue does not answer. It may come back by itself."),
    (QueueFull, "full", "The queue has no room. It has some again when captions leave."),
    (QueueUnfit, "unfit", "The queue cannot be used as it is; its operator has to see to it."),
    (CaptionFlowError, "failed", "This could not be done; the log of the proxy says why."),
)


def refusal(id_: int, exc: CaptionFlowError) -> Refused:
    """Say that something was not done."""
    kind, text = next((kind, text) for error, kind, text in _REFUSALS if isinstance(exc, error))
    return Refused(id_, kind, text)


def sentence(exc: CaptionFlowError) -> str:
    """Say the same to somebody who reads a page."""
    return refusal(0, exc).text
