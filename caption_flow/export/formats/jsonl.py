"""Export: JSON Lines: each row a line, with all its columns."""

from collections.abc import Collection

import msgspec

from caption_flow.export.ports import Rows
from caption_flow.export.values import rows as objects


class JsonLines:
    """Makes lines of rows."""

    def __init__(self, json: Collection[str]) -> None:
        """`json`: columns whose texts are JSON."""
        self._json = frozenset(json)
        self._encoder = msgspec.json.Encoder()

    def head(self) -> bytes:
        """Nothing stands before the rows."""
        return b""

    def lines(self, rows: Rows) -> bytes:
        """Write rows."""
        return self._encoder.encode_lines(objects(rows.table, self._json))
