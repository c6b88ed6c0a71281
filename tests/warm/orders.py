"""What is asked for, and what is answered: one JSON document a line."""

from msgspec import Struct


class Start(Struct, frozen=True):
    """A process of `caption-flow`."""

    arguments: tuple[str, ...]
    folder: str
    environ: dict[str, str]
    out: str  # files that its output is added to
    err: str


class Started(Struct, frozen=True, tag=True):
    """The process runs."""

    pid: int


class Ended(Struct, frozen=True, tag=True):
    """The process has ended."""

    pid: int
    code: int  # negative: the signal by which it died
