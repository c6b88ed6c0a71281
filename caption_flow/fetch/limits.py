"""Fetch: what a caller asks for, how much it will bear, and what it gets."""

from msgspec import Struct

from caption_flow import __version__

# All tries of one download end within so many times the seconds of one, waits included.
PATIENCE = 3
LONGEST_WAIT = 60.0  # seconds a server may ask us to wait; one that asks for more is left alone


class DownloadLimits(Struct, frozen=True):
    """How long, how often and how many at once."""

    seconds: float = 60.0  # one try, redirects and body included
    connect_seconds: float = 10.0  # name and address; again as much for TLS
    idle_seconds: float = 15.0  # without a byte
    tries: int = 4  # of one download
    redirects: int = 5  # of one try
    at_once: int = 64  # downloads
    per_host: int = 8  # downloads from one host and port; beside them as many streams
    user_agent: str | None = None  # None: name and version of this program
    ignore_robots_tag: bool = False  # use images whose server says noai or noimageai

    @property
    def agent(self) -> str:
        """The name we give ourselves."""
        return self.user_agent or f"caption-flow/{__version__}"

    @property
    def deadline(self) -> float:
        """Seconds after which a download has ended, counted from its first connection on."""
        return PATIENCE * self.seconds


class Request(Struct, frozen=True):
    """One of many downloads."""

    url: str
    max_bytes: int
    start: int | None = None  # first byte wanted; None: the whole
    length: int | None = None  # bytes wanted from there on; None: all


class Fetched(Struct, frozen=True):
    """What a server gave."""

    body: bytes
    url: str  # after redirects
    total: int | None  # bytes of the whole, where the server says them
    etag: str  # as the server spells it; empty where it has none
    last_modified: str

    @property
    def version(self) -> str:
        """Tell one version of the whole from others; empty where the server does not."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        said = self.last_modified or self.etag
        return f"{self.total}-{said}" if said else ""
