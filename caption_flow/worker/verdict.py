"""Worker: what a failure means for its sample: given up with a reason, or tried again."""

from msgspec import Struct

from caption_flow.errors import (
    BadImage,
    CutOff,
    EngineDead,
    EngineFailed,
    EngineRefused,
    Rejected,
    Unparsed,
)
from caption_flow.fetch import FetchFailed
from caption_flow.fetch.failures import UNREACHABLE
from caption_flow.worker.declines import Declined
from caption_flow.worker.hand import ENGINE_DIED


class Verdict(Struct, frozen=True):
    """Why a sample failed, and whether another attempt may help."""

    reason: str
    detail: str
    again: bool = False


# What is told in the words of its error: the reason, and whether another attempt may help.
_TOLD: dict[type[Exception], tuple[str, bool]] = {
    EngineRefused: ("refused", False),
    EngineFailed: ("engine", True),
    EngineDead: (ENGINE_DIED, True),  # nobody else was inside
    Unparsed: ("unparsed", True),
    CutOff: (UNREACHABLE, True),  # from here; where the job is ours, the worker ends instead
}


def verdict(exc: Exception) -> Verdict:
    """Judge what was raised around one sample."""
    match exc:
        case BadImage() | Rejected() | Declined():
            return Verdict(exc.reason, exc.detail)
        case FetchFailed():
            return Verdict(exc.reason, exc.detail, again=exc.transient)
    for kind, (reason, again) in _TOLD.items():
        if isinstance(exc, kind):
            return Verdict(reason, str(exc), again=again)
    # Left alone it would be renewed for ever, and the job never end.
    return Verdict("error", f"{type(exc).__name__}: {exc}", again=True)
