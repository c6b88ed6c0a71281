"""Export: which captions of a sample are written: all as lists, a row for each, or one of them."""

import hashlib
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import chain
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from caption_flow.dataset.shape import Shape, is_text, is_texts
from caption_flow.errors import ConfigError
from caption_flow.export.values import has_text, texts
from caption_flow.export.where import unknown_column

CAPTION = "caption"  # the column of one caption
OUTPUT = "output"  # the column that says which output it is of

# How many a row has: all, in lists as they are; one row for each; one that is picked.
How: TypeAlias = Literal["all", "each", "one"]


class Pick(Struct, frozen=True):
    """Which one of several captions is meant."""

    rule: Literal["first", "longest", "random"] = "first"
    seed: str = ""  # of "random"
    output: str = ""  # the column it is looked for in; empty: in all that hold captions

    @classmethod
    def of(cls, text: str) -> "Pick":
        """Read `first`, `longest`, `random:SEED` or `stage NAME`; ConfigError for anything else."""
        rule, _, rest = text.replace(" ", ":", 1).partition(":")
        if rule == "first" and not rest:
            return cls()
        if rule == "longest" and not rest:
            return cls("longest")
        if rule == "random":
            return cls("random", seed=rest)
        if rule == "stage" and rest:
            return cls(output=rest.strip())
        raise ConfigError(
            f'--pick has no rule "{text}"; there are first, longest, random:SEED and "stage NAME".'
        )


class Choice(Struct, frozen=True):
    """What becomes of the captions of each row."""

    outputs: tuple[str, ...]  # the columns that hold captions, in their order
    how: How = "all"
    pick: Pick = Pick()
    fields: tuple[str, ...] = ()  # an answer in one of these counts as a caption, too

    @property
    def columns(self) -> tuple[str, ...]:
        """What is needed of a row."""
        return (*self._sources, *self.fields)

    def some(self, rows: pa.RecordBatch) -> pa.Array:
        """Tell of each row whether it has a caption."""
        found = [has_text(rows.column(name)) for name in self._sources]
        found += [pc.is_valid(rows.column(name)) for name in self.fields]
        return reduce(pc.or_, found)

    def names_of(self, columns: Sequence[str], shape: Shape) -> dict[str, str]:
        """Tell what columns that stay are called then: those of samples give way to ours."""
        if self.how == "all":
            return {name: name for name in columns}
        added = (CAPTION,) if self.how == "one" else (CAPTION, OUTPUT)
        return _names(columns, shape, added)

    def renamed(self, name: str, shape: Shape) -> str:
        """Tell which column stands for an output where captions have one of their own."""
        return CAPTION if self.how != "all" and name in shape.outputs else name

    def texts(self, rows: pa.RecordBatch) -> list[list[str]]:
        """Give the captions of each row that are written; empty ones are none."""
        told = self._told(rows)
        if self.how != "one":
            return told
        ids = rows.column("id").to_pylist()
        pick = _RULES[self.pick.rule]
        return [
            [pick(some, id_, self.pick.seed)] if some else []
            for some, id_ in zip(told, ids, strict=True)
        ]

    def apply(self, rows: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
        """Give rows with the captions as chosen; a row that has none stays, with null."""
        if self.how == "all":
            return rows
        if self.how == "one":
            picked = [some[0] if some else None for some in self.texts(rows)]
            return _with(rows, shape, [(CAPTION, pa.array(picked, pa.string()))])
        return self._exploded(rows, shape)

    def _exploded(self, rows: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
        columns = [texts(rows.column(name)) for name in self.outputs]
        told: list[list[tuple[str | None, str | None]]] = [
            [
                (text, name)
                for some, name in zip(one, self.outputs, strict=True)
                for text in some
                if text
            ]
            or [(None, None)]
            for one in zip(*columns, strict=True)
        ]
        indices = [row for row, some in enumerate(told) for _ in some]
        flat = list(chain.from_iterable(told))
        added = [
            (CAPTION, pa.array([text for text, _ in flat], pa.string())),
            (OUTPUT, pa.array([name for _, name in flat], pa.string())),
        ]
        return _with(rows.take(pa.array(indices, pa.int64())), shape, added)

    @property
    def _sources(self) -> tuple[str, ...]:
        picked = self.how == "one" and self.pick.output
        return (self.pick.output,) if picked else self.outputs

    def _told(self, rows: pa.RecordBatch) -> list[list[str]]:
        columns = [texts(rows.column(name)) for name in self._sources]
        return [
            [text for some in row for text in some if text] for row in zip(*columns, strict=True)
        ]


def choose(
    schema: pa.Schema, shape: Shape, named: Sequence[str] = (), *, how: How, pick: Pick | None
) -> Choice:
    """Settle which columns hold captions: those named, or all outputs of stages.

    Raises ConfigError where a name is none of a column that can hold them.
    """
    pick = pick or Pick()
    options = [*(("--export-column", name) for name in named), ("--pick", pick.output)]
    for option, name in options:
        if name and name not in schema.names:
            raise ConfigError(f"{option}: {unknown_column(name, _holding(schema))}")
        if name and not _holds(schema, name):
            of_texts = ", ".join(_holding(schema))
            raise ConfigError(f'{option}: "{name}" holds no texts. Of texts are {of_texts}.')
    outputs = tuple(named) or shape.outputs
    if not outputs:
        raise ConfigError(
            "No column holds captions, as far as is known: name one with --export-column. "
            f"Of texts are {', '.join(_holding(schema))}."
        )
    return Choice(outputs, how, pick, () if named or how != "all" else shape.fields)


def _with(
    rows: pa.RecordBatch, shape: Shape, added: Sequence[tuple[str, pa.Array]]
) -> pa.RecordBatch:
    """Put columns in the place of the outputs."""
    place = min(
        (rows.schema.get_field_index(name) for name in shape.outputs), default=rows.num_columns
    )
    named = _names(rows.schema.names, shape, [name for name, _ in added])
    kept = [(new, rows.column(name)) for name, new in named.items()]
    columns = [*kept[:place], *added, *kept[place:]]
    return pa.RecordBatch.from_arrays(
        [array for _, array in columns], names=[name for name, _ in columns]
    )


def _names(columns: Sequence[str], shape: Shape, added: Sequence[str]) -> dict[str, str]:
    """Name the columns that stay apart from ours, as parts do."""
    taken = {*added}
    named: dict[str, str] = {}
    for name in columns:
        if name not in shape.outputs:
            new = name
            while new in taken or (new != name and new in columns):
                new = f"column_{new}"
            named[name] = new
            taken.add(new)
    return named


def _first(some: Sequence[str], _id: str, _seed: str) -> str:
    return some[0]


def _longest(some: Sequence[str], _id: str, _seed: str) -> str:
    return max(some, key=len)  # the first of them


def _random(some: Sequence[str], id_: str, seed: str) -> str:
    """Draw by the sample, so that each run draws the same, in whatever order."""
    drawn = hashlib.blake2b(f"{seed}\0{id_}".encode(), digest_size=8).digest()
    return some[int.from_bytes(drawn) % len(some)]


_RULES: dict[str, Callable[[Any, str, str], str]] = {
    "first": _first,
    "longest": _longest,
    "random": _random,
}


def _holds(schema: pa.Schema, name: str) -> bool:
    return is_texts(schema, name) or is_text(schema.field(name).type)


def _holding(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if _holds(schema, name)]
