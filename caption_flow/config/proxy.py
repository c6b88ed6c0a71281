"""What a document says of the proxy: who may come in, and what it bears."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, field

from caption_flow.config.sizes import KIB
from caption_flow.config.values import (
    ByteSize,
    Count,
    LocalPath,
    Name,
    Pause,
    Secret,
    SecretPath,
    Settings,
    Sha256,
    Share,
    Text,
    no_networks,
    refuse,
)
from caption_flow.errors import ConfigError
from caption_flow.grants import ROLES, Grant, Role, digest


class SslConfig(Settings, frozen=True):
    """The certificate, in the older of its two places."""

    cert: LocalPath | None = None
    key: SecretPath | None = None


class Token(Settings, frozen=True):
    """What lets one contributor in, the token or its SHA-256; and how far."""

    name: Text
    token: Secret | None = None
    token_sha256: Sha256 | None = None
    expires: Text | None = None  # a date or time of ISO 8601, UTC unless it says
    stages: tuple[Name, ...] = ()  # that it may serve; none: all
    max_workers: Count | None = None  # connections at once
    samples_per_minute: Count | None = None
    bytes_per_day: ByteSize | None = None  # of images
    trusted: bool = False  # its captions check those of others
    anonymous: bool = False  # not named in leaderboards

    def __post_init__(self) -> None:
        if (self.token is None) == (self.token_sha256 is None):
            raise ConfigError("token or token_sha256 must be given, and not both")
        if self.expires is not None:
            expiry(self.expires)

    def grant(self, role: Role) -> Grant:
        """Make what a proxy knows of it."""
        return Grant(
            name=self.name,
            role=role,
            sha256=self.token_sha256 or digest(self.token or ""),
            expires=None if self.expires is None else expiry(self.expires),
            stages=self.stages,
            max_workers=self.max_workers,
            samples_per_minute=self.samples_per_minute,
            bytes_per_day=self.bytes_per_day,
            trusted=self.trusted,
            anonymous=self.anonymous,
        )


class AuthConfig(Settings, frozen=True):
    """Who may come in through the proxy, by role."""

    worker_tokens: tuple[Token, ...] = ()
    feeder_tokens: tuple[Token, ...] = ()
    monitor_tokens: tuple[Token, ...] = ()
    admin_tokens: tuple[Token, ...] = ()

    def grants(self) -> tuple[Grant, ...]:
        """Make what a proxy knows of them."""
        return tuple(
            token.grant(role) for role in ROLES for token in getattr(self, f"{role}_tokens")
        )


class ChecksConfig(Settings, frozen=True):
    """How the captions of contributors are checked."""

    share: Share | None = None  # of their samples, captioned again by a trusted worker
    known: LocalPath | None = None  # folder of images whose captions are known
    known_share: Share | None = None  # of what contributors get, from that folder
    agreement: Annotated[float, Meta(ge=0, le=1)] = 0.5  # less than that is disagreement

    def __post_init__(self) -> None:
        if (self.known is None) != (self.known_share is None):
            raise ConfigError("known and known_share must be given together")


class PageConfig(Settings, frozen=True):
    """The page at the proxy's address, for people who watch the job."""

    enabled: bool = True
    loopback: bool = True  # whether the proxy's own user needs no token on its host
    thumbnails: bool = True  # whether images are read again to be shown
    requests_per_minute: Count = 3000  # of one address


class ProxyConfig(Settings, frozen=True):
    """What a proxy bears of those who come through it."""

    resume_seconds: Pause = 10.0  # after a connection broke, until what it held goes to others
    max_caption_bytes: ByteSize = 64 * KIB  # of one text
    handshakes_per_minute: Count = 120  # of one address
    failed_logins: Count = 20  # of one address in ten minutes; then it has to wait
    most_connections: Count = 2000
    trust_forwarded: tuple[Text, ...] = ()  # load balancers whose X-Forwarded-For is believed
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    page: PageConfig = field(default_factory=PageConfig)

    def __post_init__(self) -> None:
        refuse(no_networks(self.trust_forwarded, "trust_forwarded"))


def expiry(text: str) -> float:
    """Read when a token expires, in seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise ConfigError(
            f'expires is "{text}", which is no date; write 2027-01-31 or 2027-01-31T18:00:00+02:00'
        ) from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
