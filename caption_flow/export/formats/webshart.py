"""Export: `webshart`: captions in the indexes that lie beside tars; what is settled is indexes."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from caption_flow.errors import ConfigError
from caption_flow.export.draft import Draft, publish, refuse_existing, writing
from caption_flow.export.formats.folder import FolderFormat
from caption_flow.export.formats.index import Index
from caption_flow.export.ports import Layout, Needs, Published, Rows, Writer
from caption_flow.model import sample_name

logger = logging.getLogger(__name__)

_DRAFTED = "indexes"
_TOLD = 5  # shards without an index, and samples without an entry, that are named


class WebshartFormat(FolderFormat):
    """Copies of indexes, with captions; or these themselves."""

    needs = Needs(samples=True, captions_only=True, by_shard=True)

    def __init__(self, output: Path, *, overwrite: bool, metadata: Path) -> None:
        """`metadata`: the folder of the indexes."""
        super().__init__(output, "webshart", overwrite=overwrite)
        self._metadata = metadata

    def refuse(self) -> None:
        """Refuse where there are no indexes, or copies of them."""
        super().refuse()
        indexes = list(_indexes(self._metadata))
        if not indexes:
            raise ConfigError(
                f"--metadata {self._metadata} has no .json of a tar: name the folder that "
                "webshart extract-metadata wrote."
            )
        there = [one for name in indexes if os.path.lexists(one := self.output / name)]
        refuse_existing(there, overwrite=self._overwrite)

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write them under the names that they will have."""
        if not layout.shards:
            raise ConfigError(
                "The parts have no column shard, which says whose index is meant. Export them in "
                "another format."
            )
        return Indexes(draft, self._metadata, layout.shards)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:
        """Name them, and tell of what found no place."""
        for name in state["names"]:
            publish(draft.file(_DRAFTED) / name, self.output / name)
        lacking = _Lacking(**{name: state[name] for name in _Lacking.__struct_fields__})
        return Published(lacking.told())


class _Lacking(Struct, frozen=True):
    """What found no place."""

    left_out: int = 0  # samples, for either reason; as ports.LEFT_OUT
    shards: int = 0  # without an index
    shard: str = ""  # one of these
    unlisted: int = 0  # samples that their index does not have
    sample: str = ""  # one of these

    def told(self) -> str:
        """Say it to people, with what to do."""
        found = []
        if self.shards:
            found.append(
                f"{self.shards:,} shards have no index in --metadata, such as {self.shard}: "
                "webshart extract-metadata makes them."
            )
        if self.unlisted:
            found.append(
                f"{self.unlisted:,} samples are in no index of their shard, such as {self.sample}: "
                "it may be of another version of the shard."
            )
        told = f"{self.left_out:,} samples are left out. {' '.join(found)}"
        return f"{told} Export again with --overwrite when that is mended." if found else ""


class Indexes:
    """Puts captions into indexes, shard by shard."""

    def __init__(self, draft: Draft, metadata: Path, shards: Sequence[str]) -> None:
        """Go on after the indexes that an earlier writer finished, or begin."""
        begun = draft.progress
        self._draft = draft
        self._metadata = metadata
        self._alike = Counter(map(_last, shards))
        self._rows = self._settled = begun.settled if begun else 0
        state = begun.state if begun else {}
        self._lacking = self._noted = _Lacking(**state)
        self._shard: str | None = None
        self._name = ""  # of its index
        self._index: Index | None = None
        with writing(draft.path):
            self._folder.mkdir(exist_ok=True)

    def write(self, rows: Rows) -> None:
        """Take samples."""
        names = ("id", "shard", "source")
        ids, shards, sources = (_texts(rows, name) for name in names)
        for id_, shard, source, captions in zip(ids, shards, sources, rows.texts, strict=False):
            if shard != self._shard:
                self._finish_shard()
                self._begin(shard)
            self._put(id_, source, captions)
            self._rows += 1

    def settle(self) -> int:
        """Tell how many rows are in finished indexes."""
        return self._settled

    def state(self) -> Mapping[str, Any]:
        """Tell what found no place."""
        return asdict(self._noted)

    def finish(self) -> Mapping[str, Any]:
        """Finish the last index; answers the names of all."""
        self._finish_shard()
        with writing(self._folder):
            found = sorted(self._folder.rglob("*.json"))
        names = [one.relative_to(self._folder).as_posix() for one in found]
        return {**self.state(), "names": names}

    def close(self) -> None:
        """No file is open."""

    @property
    def _folder(self) -> Path:
        return self._draft.file(_DRAFTED)

    def _begin(self, shard: str) -> None:
        self._shard = shard
        self._name = self._found(shard)
        self._index = Index(self._metadata / self._name) if self._name else None
        if self._index is None:
            told = self._lacking
            if told.shards < _TOLD:
                logger.warning("The shard %s has no index in %s", shard, self._metadata)
            self._lacking = replace(told, shards=told.shards + 1, shard=told.shard or shard)

    def _put(self, id_: str, source: str, captions: Sequence[str]) -> None:
        told = self._lacking
        if self._index is None:
            self._lacking = replace(told, left_out=told.left_out + 1)
            return
        name = sample_name(self._shard or "", id_)
        if not captions or (name is not None and self._index.put(name, source, captions)):
            return
        if told.unlisted < _TOLD:
            logger.warning("%s has no entry for %s", self._metadata / self._name, id_)
        self._lacking = replace(
            told,
            left_out=told.left_out + 1,
            unlisted=told.unlisted + 1,
            sample=told.sample or id_,
        )

    def _finish_shard(self) -> None:
        if self._index is not None:
            final = self._folder / self._name
            new = self._draft.file("open")
            with writing(new):
                final.parent.mkdir(parents=True, exist_ok=True)
                with new.open("wb") as file:
                    file.write(self._index.encode())
                    file.flush()
                    os.fsync(file.fileno())
                new.rename(final)
        self._index = None
        self._settled, self._noted = self._rows, self._lacking

    def _found(self, shard: str) -> str:
        """Say which index is of a shard: at its place, or the only one of its name."""
        if not _is_inside(shard):
            return ""
        name = f"{shard.removesuffix('.tar')}.json"
        last = _last(name)
        names = [name, last] if self._alike[_last(shard)] == 1 else [name]
        return next((one for one in names if (self._metadata / one).is_file()), "")


def _indexes(folder: Path) -> Iterator[str]:
    """Name what may be indexes, below the folder; not what is hidden."""
    for path in folder.rglob("*.json"):
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            yield name


def _is_inside(shard: str) -> bool:
    """Whether the name of a shard leads nowhere else; it may be a stranger's."""
    bad = any(part in {"", ".", ".."} for part in shard.split("/"))
    return not bad and "\\" not in shard and "\0" not in shard


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _texts(rows: Rows, name: str) -> Iterator[str]:
    if name not in rows.samples.schema.names:  # of parts that are not quite ours
        return repeat("")
    return (text or "" for text in rows.samples.column(name).to_pylist())
