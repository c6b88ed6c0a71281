"""Export: what the user asks for, whatever the format."""

import hashlib
import re
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from caption_flow import __version__
from caption_flow.dataset.by_shard import ByShard
from caption_flow.dataset.reader import IDS, Reader
from caption_flow.errors import ConfigError
from caption_flow.export.choice import How, Pick, choose
from caption_flow.export.flow import Flow, Selection
from caption_flow.export.names import Names
from caption_flow.export.ports import ANY, Needs
from caption_flow.export.where import Condition, unknown_column

_LITERAL = re.compile(r"\[(.)\]")  # a letter that a pattern has as itself


class Wish(Struct, frozen=True):
    """Which samples, which of their captions, which columns."""

    where: str | None = None
    shards: tuple[str, ...] = ()  # patterns; none: all
    limit: int | None = None  # samples
    include_empty: bool = False
    columns: tuple[str, ...] | None = None  # None: all
    captions: tuple[str, ...] = ()  # the columns that hold them; none named: all outputs
    filename: str = "id"  # the column that files of samples are named by
    how: How = "all"
    pick: Pick | None = None

    def flow(self, reader: Reader, needs: Needs = ANY) -> Flow:
        """Lay out how rows become what is written; ConfigError where columns are not there."""
        if self.filename not in reader.schema.names:
            raise ConfigError(
                f"--filename-column: {unknown_column(self.filename, reader.schema.names)}"
            )
        how = "all" if needs.samples and self.how == "each" else self.how  # there are no rows
        choice = choose(reader.schema, reader.shape, self.captions, how=how, pick=self.pick)
        if needs.captions_only:
            choice = replace(choice, fields=())
        where = Condition(self.where, reader.schema) if self.where else None
        self._check_shards(reader)
        return Flow(
            ByShard(reader) if needs.by_shard and "shard" in reader.schema.names else reader,
            Selection(where, self.shards, self.limit, self.include_empty),
            choice,
            columns=self.columns,
            needs=needs,
            names=None if needs.names == "no" else self._names(reader, needs),
        )

    def _check_shards(self, reader: Reader) -> None:
        """Refuse a pattern that no shard's name matches, which must be a slip."""
        unmatched = set(self.shards)
        if not unmatched or "shard" not in reader.schema.names:  # which is told elsewhere
            return
        for batch in reader.batches(["shard"], size=IDS):
            for shard in batch.rows.column("shard").unique().drop_null().to_pylist():
                unmatched = {one for one in unmatched if not fnmatchcase(shard, one)}
            if not unmatched:
                return
        name = _LITERAL.sub(r"\1", min(unmatched))
        raise ConfigError(f'No shard is called "{name}", or matches it as a pattern.')

    def _names(self, reader: Reader, needs: Needs) -> Names:
        return Names(reader, self.filename, dots=needs.names != "keys")

    def key(self, *more: str) -> str:
        """Tell this wish from all others, those of other versions of ours too."""
        said = repr((__version__, self, more))  # not as JSON: an argument may be no UTF-8
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
