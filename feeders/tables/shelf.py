"""Tables of a data set that are open: what their headers and footers say is read once."""

from collections import OrderedDict
from threading import Lock

from msgspec import Struct

from caption_flow.dataset.source import ShardChanged
from feeders.files.ahead import near
from feeders.files.find import Finder
from feeders.files.port import File
from feeders.tables.opening import open_table
from feeders.tables.port import Table

MOST = 4  # open at a time


class Opened(Struct, frozen=True):
    """A table, and which file it was when it was opened."""

    file: File
    fingerprint: str
    table: Table

    def check(self) -> None:
        """ShardChanged if it is another file by now."""
        if self.file.facts().fingerprint != self.fingerprint:
            raise changed(self.file)


class Shelf:
    """Opens tables, and keeps those used last."""

    def __init__(self, files: Finder) -> None:
        self._files = files
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], Opened] = OrderedDict()

    def open(self, shard: str, fingerprint: str = "") -> Opened:
        """Open the table of a shard; ShardChanged where it is another than was planned."""
        file = self._files.get(shard)
        now = file.facts().fingerprint
        if fingerprint and fingerprint != now:
            raise changed(file)
        with self._lock:
            kept = self._kept.get((shard, now))
            if kept is not None:
                self._kept.move_to_end((shard, now))
                return kept
        return self._keep(shard, Opened(file, now, open_table(near(file))))

    def _keep(self, shard: str, opened: Opened) -> Opened:
        with self._lock:
            self._kept[shard, opened.fingerprint] = opened
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return opened


def changed(file: File) -> ShardChanged:
    """Say that a table was written anew."""
    return ShardChanged(f"{file.where} has changed since it was planned.")
