"""Wire: why a connection is closed, in numbers that both ends know."""

from enum import IntEnum

from caption_flow.errors import CaptionFlowError

REASON_BYTES = 123  # of a close frame, by RFC 6455


class Close(IntEnum):
    """Codes of close frames; those of an application begin at 4000."""

    SAID = 1000
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    LATE = 4408
    DISORDER = 4409
    LARGE = 4413
    EXCESS = 4429
    GOING = 4503


class Breach(CaptionFlowError):
    """The other end has broken the protocol; the connection is closed with this."""

    def __init__(self, code: Close, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = shortened(reason)


def shortened(reason: str) -> str:
    """Cut a reason to what a close frame can hold."""
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")
