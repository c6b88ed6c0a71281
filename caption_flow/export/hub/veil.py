"""Export: what is taken out of rows before everybody can read them.

The names of contributors who want not to be named, and of all workers, for these are called after
their hosts; where images lie on the disks of whoever captioned them, and what is secret in a URL.
Columns that samples bring from an earlier job have the same in them under names like ours.
"""

import re
from collections.abc import Callable, Collection

import pyarrow as pa
import pyarrow.compute as pc

from caption_flow.dataset.columns import STAGES
from caption_flow.dataset.shape import is_text

ANONYMOUS = "anonymous"

_CARRIED = re.compile(r"(?:column_)*(contributor|worker|source|stages|extra)")  # from where
_URL = r"(?i)^(https?|hf|s3|gs)://"
_USER = r"(?i)([a-z][a-z0-9+.-]*://)[^/?#\s]*@"
_TELLING = "sig|token|key|secret|auth|passw|credential|policy"  # in names of parameters
_SIGNED = rf"(?is)\?(?:[^?]*?[&;])?[^=&;]*(?:{_TELLING})[^=&;]*=.*?(::|$)"
_IN_JSON = r'"((?:column_)*(?:contributor|worker|source))":\s*"(?:[^"\\]|\\.)*"'


class Veil:
    """Takes it out of batches of rows, as far as they have such columns."""

    def __init__(self, named: Callable[[str], bool]) -> None:
        """`named`: whether a contributor may be."""
        self._named = named

    def over(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Give rows that may be published; no column is needed to know what to do with another."""
        for place, field in enumerate(rows.schema):
            if found := _CARRIED.fullmatch(field.name):
                veiled = self._veiled(found[1], rows.column(place))
                rows = rows.set_column(place, field, veiled)
        return rows

    def _veiled(self, kind: str, column: pa.Array) -> pa.Array:
        if kind == STAGES and not is_text(column.type):
            return self._stages(column)
        if kind == "worker" or not is_text(column.type):
            return pa.nulls(len(column), column.type)
        if kind == "contributor":
            return self._people(column)
        return _published(column) if kind == "source" else _scrubbed(column)

    def _people(self, contributors: pa.Array) -> pa.Array:
        there: Collection[str] = contributors.unique().drop_null().to_pylist()
        hidden = [name for name in there if not self._named(name)]
        masked = pc.is_in(contributors, value_set=pa.array(hidden, contributors.type))
        return pc.if_else(masked, pa.scalar(ANONYMOUS, contributors.type), contributors)

    def _stages(self, stages: pa.Array) -> pa.Array:
        if not pa.types.is_list(stages.type) or not pa.types.is_struct(stages.type.value_type):
            return pa.nulls(len(stages), stages.type)
        made = pc.list_flatten(stages)
        columns = [
            self._people(column) if field.name == "contributor" else column
            for field, column in zip(made.type, made.flatten(), strict=True)
        ]
        masked = pa.StructArray.from_arrays(columns, fields=list(made.type))
        lengths = pc.fill_null(pc.list_value_length(stages), 0)
        ends = pa.concat_arrays(
            [pa.array([0], pa.int64()), pc.cumulative_sum(lengths.cast(pa.int64()))]
        )
        return pa.ListArray.from_arrays(ends, masked, type=stages.type, mask=stages.is_null())


def _published(sources: pa.Array) -> pa.Array:
    """Keep URLs only, without what may be a secret: users, passwords, signatures."""
    public = pc.match_substring_regex(sources, _URL)
    bare = pc.replace_substring_regex(sources, _USER, r"\1")
    unsigned = pc.replace_substring_regex(bare, _SIGNED, r"\1")
    return pc.if_else(public, unsigned, pa.scalar(None, sources.type))


def _scrubbed(texts: pa.Array) -> pa.Array:
    """Leave out of JSON what would be such a column; whose name may be told there, none can say."""
    return pc.replace_substring_regex(texts, _IN_JSON, r'"\1":null')
