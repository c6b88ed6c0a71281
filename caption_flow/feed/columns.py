"""Feed, before anything is fed: are the columns there that the prompts are filled in with?

Looks at one sample, and at some more where that lacks a column: a data set without it would make
as many prompts with a hole as it has images. What cannot be read is for the planner to tell.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from caption_flow.config.wording import Need
from caption_flow.config.words import near
from caption_flow.dataset.source import Source
from caption_flow.errors import ConfigError, SourceError
from caption_flow.feed.selection import Selection
from caption_flow.model import Raw
from caption_flow.template import known_as

MORE = 64  # samples looked at where the first lacks a column
MORE_BYTES = 64 << 20  # of their images, where the source reads those as well
_RUN = 8  # samples asked for together: a source may read all of a run ahead
_NAMED = 20  # columns told in an error
_COMPARED = 1000  # columns among which the nearest is looked for
_LONGEST = 60  # characters of one


class Look(Struct):
    """The columns of the samples looked at so far."""

    columns: dict[str, None]
    samples: int = 0

    def add(self, raw: Raw) -> None:
        """Take in a sample; one that could not be read may have had any column."""
        self.samples += bool(raw.columns) or not raw.error
        self.columns |= dict.fromkeys(raw.columns)


def check_columns(
    needs: Sequence[Need],
    selection: Selection,
    source: Source,
    afar: Callable[[], Source],
    *,
    chosen: bool,
    go_on: Callable[[], bool],
) -> None:
    """Refuse prompts whose columns no sample has, of those looked at; ConfigError names them.

    `afar` opens the data set so that images are not fetched where that can be; `chosen`: only
    some columns are carried.
    """
    wanted = _wanted(needs)
    look = Look({})
    try:
        for raw in islice(_samples(source, selection, 1), 1) if wanted else ():
            look.add(raw)
        if _missing(wanted, look.columns):
            _look_on(look, wanted, _samples(afar(), selection, _RUN), go_on)
    except SourceError:
        return
    if look.samples and go_on():
        refuse_missing(wanted, list(look.columns), chosen=chosen)


def refuse_missing(needs: Sequence[Need], columns: Sequence[str], *, chosen: bool) -> None:
    """Refuse prompts that need other columns than these, see `check_columns`."""
    _refuse(_missing(_wanted(needs), columns), columns, chosen=chosen)


def _wanted(needs: Sequence[Need]) -> list[Need]:
    return [need for need in needs if not need.optional]


def _look_on(
    look: Look, wanted: Sequence[Need], samples: Iterator[Raw], go_on: Callable[[], bool]
) -> None:
    size = 0
    for raw in islice(samples, 1 + MORE):  # the first once more
        look.add(raw)
        size += len(raw.image)
        if size > MORE_BYTES or not go_on() or not _missing(wanted, look.columns):
            return


def _samples(source: Source, selection: Selection, run: int) -> Iterator[Raw]:
    for shard in filter(selection.admits_shard, source.shards()):
        names = source.names(shard, None)
        while listed := list(islice(names, run)):
            yield from source.samples(shard, listed)


def _missing(wanted: Sequence[Need], columns: Container[str]) -> list[Need]:
    return [need for need in wanted if known_as(need.field.name, columns) is None]


def _refuse(missing: Sequence[Need], columns: Sequence[str], *, chosen: bool) -> None:
    if not missing:
        return
    lines = [_line(need, columns) for need in missing]
    there = ", ".join(map(_shown, columns[:_NAMED])) or "none"
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    default = missing[0].field.spelled.replace("}", "|a text}")
    lines.append(
        f"{'Of those in dataset.columns it has' if chosen else 'Columns of the data set'}: "
        f"{there}{more}. "
        f"Where not every image needs to have one, give a default: {default}."
    )
    if any('"' in need.field.name for need in missing):  # most likely JSON
        lines[-1] += ' Write "{{" and "}}" for braces that are meant as such.'
    raise ConfigError("\n".join(lines))


def _line(need: Need, columns: Sequence[str]) -> str:
    field = need.field
    # Comparing takes time by the square of a name's length, and a stranger gave these.
    short = [name for name in columns[:_COMPARED] if len(name) <= _LONGEST]
    meant = near(field.name.strip(), [*short, *need.earlier])
    hint = f"; did you mean {_shown(meant)}?" if meant else ""
    stages = ", nor does an earlier stage write it" if need.earlier else ""
    return f"{need.prompt} has {field.spelled}, but the data set has no such column{stages}{hint}"


def _shown(name: str) -> str:
    """Show a name that a stranger gave, on one line."""
    cut = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    return '"' + "".join(mark if mark.isprintable() else "\ufffd" for mark in cut) + '"'
