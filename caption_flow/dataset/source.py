"""Port: where samples come from.

The planner asks a source for shards and the names in each; a feeder, perhaps on another host,
asks it for those samples. So a source holds no position of its own, and gives the same answers
in the same order wherever it runs. No Redis and no asyncio in here. Samples are read in threads,
several chunks at once.

A source is a callable that takes SourceOptions, found by the entry-point group in GROUP; any
installed package may add one under a kind of its own.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct, field

from caption_flow.errors import ConfigError, SourceError
from caption_flow.fetch import DownloadLimits
from caption_flow.model import ROOT_SHARD, Listed, Raw, sample_id, sample_name

__all__ = [
    "GROUP",
    "ROOT_SHARD",
    "Images",
    "Listed",
    "Raw",
    "ShardChanged",
    "Source",
    "SourceOptions",
    "open_source",
    "sample_id",
    "sample_name",
]

GROUP = "caption_flow.sources"


# How pixels travel. "inline": the feeder reads them, and they wait in Redis. "reference": a worker
# reads them where they lie. "auto": by reference what a worker reaches as well as the feeder does.
Images: TypeAlias = Literal["auto", "inline", "reference"]


class SourceOptions(Struct, frozen=True):
    """What a source may need to know; each takes what concerns it."""

    path: str
    name: str | None = None  # of the data set; None: the source finds one
    recursive: bool = True
    follow_symlinks: bool = False
    max_file_size: int = 64 << 20  # bytes of one encoded image
    sidecars: tuple[str, ...] = ()  # extensions of the files beside an image that hold its columns
    split: str | None = None
    revision: str | None = None
    subset: str | None = None  # of a data set that has several
    image_column: str = "image"
    url_column: str = "image_url"
    columns: tuple[str, ...] | None = None  # to carry; None: all that JSON can say
    image_root: str | None = None  # the folder of the files that rows name
    images: Images = "auto"
    cache_dir: str | None = None  # what may be kept from one run to the next
    allow_networks: tuple[str, ...] = ()  # addresses to fetch from, though they are not public
    download: DownloadLimits = DownloadLimits()
    extra: dict[str, Any] = field(default_factory=dict)  # for kinds that need more


class ShardChanged(SourceError):
    """A shard is not what it was when it was planned: it must be planned anew."""


class Source(Protocol):
    """A data set as shards of named samples, in an order that never changes."""

    dataset: str  # name of the data set, as it stands in the rows

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the shards in a stable order: all, or those from `start` on in that order.

        `start` itself need not exist any more.
        """
        ...

    def fingerprint(self, shard: str) -> str:
        """Tell what a shard holds now from what it held before; cheaply.

        Empty where a shard may change and no name ever comes to mean another sample.
        """
        ...

    def names(self, shard: str, after: Listed | None) -> Iterator[Listed]:
        """List a shard's samples, in a stable order, strictly after `after`.

        ShardChanged where `after` is not to be found any more and the order depends on it.
        """
        ...

    def samples(self, shard: str, wanted: Sequence[Listed], fingerprint: str = "") -> Iterator[Raw]:
        """Read samples in the order asked, one Raw for each, with `error` if unreadable.

        A place may be missing, as of a sample that is tried again: then its name is looked for.
        Shard, names and places come from a queue that others can write to: a source must refuse
        those that lead out of the data set. ShardChanged where the fingerprint is another today.
        """
        ...

    def size(self, shard: str, wanted: Sequence[Listed]) -> int | None:
        """Add up the bytes of encoded images, as far as that can be told without reading them."""
        ...


def open_source(kind: str, options: SourceOptions) -> Source:
    """Open a data set of one of the installed kinds."""
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in installed:
        raise ConfigError(_unknown(kind, sorted(installed)))
    source: Source = _load(installed[kind])(options)
    return source


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigError(
            f'The source kind "{entry.name}" is installed but does not load ({exc}). '
            f"Install what it needs, or mend the entry point {entry.value}."
        ) from exc


def _unknown(kind: str, installed: list[str]) -> str:
    near = get_close_matches(kind, installed, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    kinds = ", ".join(installed) or "none: install caption-flow again"
    return f'No source of kind "{kind}" is installed{hint} Installed kinds: {kinds}.'
