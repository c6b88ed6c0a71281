"""Worker: what a failure means for its sample: given up with a reason, or tried again."""

from msgspec import Struct

from caption_flow.errors import BadImage, EngineDead, EngineFailed, EngineRefused, Rejected
from caption_flow.fetch import FetchFailed
from caption_flow.worker.hand import ENGINE_DIED


class Verdict(Struct, frozen=True):
    """Why a sample failed, and whether another attempt may help."""

    reason: str
    detail: str
    again: bool = False


def verdict(exc: Exception) -> Verdict:
    """Judge what was raised around one sample."""
    match exc:
        case BadImage() | Rejected():
            return Verdict(exc.reason, exc.detail)
        case FetchFailed():
            return Verdict(exc.reason, exc.detail, again=exc.transient)
        case EngineRefused():
            return Verdict("refused", str(exc))
        case EngineFailed():
            return Verdict("engine", str(exc), again=True)
        case EngineDead():  # nobody else was inside
            return Verdict(ENGINE_DIED, str(exc), again=True)
    # Left alone it would be renewed for ever, and the job never end.
    return Verdict("error", f"{type(exc).__name__}: {exc}", again=True)
