"""Port: where samples come from.

The planner asks a source for shards and the names in each; a feeder, perhaps on another host,
asks it for those samples. So a source holds no position of its own, and gives the same answers
in the same order wherever it runs. No Redis and no asyncio in here.

A source is a callable that takes SourceOptions, found by the entry-point group in GROUP; any
installed package may add one under a kind of its own.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from msgspec import Struct, field

from caption_flow.errors import ConfigError
from caption_flow.model import Raw

GROUP = "caption_flow.sources"
ROOT_SHARD = "."  # the shard of samples that lie in no folder of their own


class SourceOptions(Struct, frozen=True):
    """What a source may need to know; each takes what concerns it."""

    path: str
    name: str | None = None  # of the data set; None: the source finds one
    recursive: bool = True
    follow_symlinks: bool = False
    max_file_size: int = 64 << 20  # bytes of one encoded image
    sidecars: tuple[str, ...] = ()  # extensions of the files beside an image that hold its columns
    extra: dict[str, Any] = field(default_factory=dict)  # for kinds that need more


class Source(Protocol):
    """A data set as shards of named samples, in an order that never changes."""

    dataset: str  # name of the data set, as it stands in the rows

    def shards(self, start: str | None = None) -> Iterator[str]:
        """Give the shards in a stable order: all, or those from `start` on in that order.

        `start` itself need not exist any more.
        """
        ...

    def names(self, shard: str, after: str | None) -> Iterator[str]:
        """Give the names of a shard's samples, in a stable order, strictly after `after`."""
        ...

    def samples(self, shard: str, names: Sequence[str]) -> Iterator[Raw]:
        """Read samples in the order asked, one Raw for each name, with `error` if unreadable.

        Shard and names come from a queue that others can write to: a source must refuse those
        that lead out of the data set.
        """
        ...


def sample_id(shard: str, name: str) -> str:
    """Spell the id of a sample, unique within its data set."""
    return name if shard == ROOT_SHARD else f"{shard}/{name}"


def sample_name(shard: str, id_: str) -> str | None:
    """Find the name of a sample within its shard by its id; None where it has another's."""
    name = id_ if shard == ROOT_SHARD else id_.removeprefix(f"{shard}/")
    return name if sample_id(shard, name) == id_ else None


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
