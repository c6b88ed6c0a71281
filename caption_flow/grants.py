"""What a token lets its owner do. Tokens themselves are shown once and kept by nobody: we keep
their SHA-256, which is enough for secrets of 256 random bits.
"""

import hashlib
import secrets
from typing import Literal, TypeAlias

from msgspec import Struct

Role: TypeAlias = Literal["worker", "feeder", "monitor", "admin"]
ROLES: tuple[Role, ...] = ("worker", "feeder", "monitor", "admin")

_PREFIX = "cf_"  # so that scanners for leaked secrets, and people, know what it is


class Grant(Struct, frozen=True, omit_defaults=True):
    """One token, as a proxy knows it."""

    name: str  # the contributor
    role: Role
    sha256: str  # hex digest of the token
    expires: float | None = None  # seconds since the epoch
    stages: tuple[str, ...] = ()  # that it may serve; none: all
    max_workers: int | None = None  # connections at once
    samples_per_minute: int | None = None
    bytes_per_day: int | None = None  # of images, per day of UTC
    trusted: bool = False  # its captions check those of others
    anonymous: bool = False  # not named in leaderboards
    added: float = 0.0  # seconds since the epoch; 0: stands in the document


def new_token() -> str:
    """Make a token that nobody can guess."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Give what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
