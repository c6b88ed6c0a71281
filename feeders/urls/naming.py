"""How a row of URLs is called: by its number, and by its URL.

A row that comes to hold another URL is another sample, and never inherits a caption.
"""

from hashlib import blake2b
from typing import Any

from caption_flow.model import Listed
from feeders.tables import Place, Row

_DIGITS = 8  # of the hash
_MOST = 18  # digits of a row's number


def as_text(value: Any) -> str:
    """Give what a cell of URLs holds as text, whatever it is; empty where it holds nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode(errors="replace").strip()
    return "" if value is None else str(value)


def digest(url: str) -> str:
    """Give the part of a name that depends on the URL."""
    return blake2b(url.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def listed(row: Row) -> Listed:
    """Name a row."""
    return Listed(f"{row.number}-{digest(as_text(row.value))}", row.place)


def place_of(sample: Listed) -> Place | None:
    """Say where a sample's row is; None for a name, perhaps a stranger's, that no row has."""
    number, _, rest = sample.name.partition("-")
    known = number.isascii() and number.isdigit() and len(number) <= _MOST and bool(rest)
    return (int(number), sample.place) if known else None


def is_named(sample: Listed, url: str) -> bool:
    """Whether a sample is the one of this URL."""
    return sample.name.partition("-")[2] == digest(url)
