"""Engine `openai`: what a try of one request may end with instead of an answer."""

import re

import msgspec

_MOST_WORDS = 300  # characters of what a server says
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class Trouble(Exception):
    """One try failed; its text says how, and is fit to be shown."""


class Busy(Trouble):
    """The server has enough to do; the request waits."""

    def __init__(self, said: str, wait: float) -> None:
        super().__init__(said)
        self.wait = wait  # seconds it asks for; 0 where it does not


class Down(Trouble):
    """The server cannot be reached, or says itself that it does not work."""


class Spoilt(Trouble):
    """No answer that can be used: the server's fault or the request's, who knows."""


class Late(Spoilt):
    """No answer in time."""


class Cut(Spoilt):
    """The connection broke before the answer was whole."""


class Refusal(Trouble):
    """The server will not answer this; `body` is what it sent, `status` how it says so."""

    def __init__(self, said: str, status: int, body: bytes) -> None:
        super().__init__(said)
        self.status = status
        self.body = body


def words(body: bytes, secret: str | None) -> str:
    """Return what a server says of its trouble, in short and without our key."""
    secret = secret or "\0"  # some quote it
    raw = body.replace(secret.encode(), b"")[: 4 * _MOST_WORDS]
    text = (_message(body) or raw.decode(errors="replace")).replace(secret, "…")
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}…"


def _message(body: bytes) -> str:
    """Find the text in the shapes that errors have."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""
    for key in ("error", "message", "detail"):
        if isinstance(found, dict):
            found = found.get(key, found)
    return found if isinstance(found, str) else ""
