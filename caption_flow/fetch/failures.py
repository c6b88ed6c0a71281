"""Fetch: what can come of a download that did not succeed, one stable word each.

The words stand in docs/dead-letters.md.
"""

from caption_flow.errors import CaptionFlowError

BAD_REDIRECT = "bad_redirect"
BAD_URL = "bad_url"
CHANGED = "changed"
FORBIDDEN = "forbidden"
FORBIDDEN_ADDRESS = "forbidden_address"
HTTP_STATUS = "http_status"
NO_RANGES = "no_ranges"
NOT_FOUND = "not_found"
RATE_LIMITED = "rate_limited"
ROBOTS = "robots"
SERVER_ERROR = "server_error"
TIMEOUT = "timeout"
TOO_MANY_BYTES = "too_many_bytes"
TRUNCATED = "truncated"
UNREACHABLE = "unreachable"

TRANSIENT = frozenset({RATE_LIMITED, SERVER_ERROR, TIMEOUT, TRUNCATED, UNREACHABLE})


class FetchFailed(CaptionFlowError):
    """Something could not be fetched. It harms nobody but its own sample."""

    def __init__(
        self, reason: str, detail: str, *, again: bool | None = None, wait: float = 0.0
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason  # one of the words above, stable for filters
        self.detail = detail
        self.transient = reason in TRANSIENT  # another try, elsewhere or later, may work
        self.again = self.transient if again is None else again  # one here and soon may work
        self.wait = wait  # seconds before that, at least; the server asked for them
