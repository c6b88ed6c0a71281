"""Chaos, the folder of the parts, looked at while it is written."""

from pathlib import Path

import pyarrow.parquet as pq


class Parts:
    """What is published, and what is not yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[str, int] = {}  # of each published part

    @property
    def published(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    @property
    def hidden(self) -> list[str]:
        return [path.name for path in self.folder.glob(".*")]

    def rows(self) -> int:
        """Count the rows that are published: it never falls, whatever Redis forgets."""
        for part in self.published:
            if part.name not in self._rows:
                self._rows[part.name] = pq.read_metadata(part).num_rows
        return sum(self._rows.values())
