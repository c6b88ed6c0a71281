"""Export: tars of samples, in the manner of WebDataset; what is settled is whole tars."""

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

from msgspec import Struct

from caption_flow.export.draft import Draft, writing
from caption_flow.export.formats.sample_files import captions, metadata
from caption_flow.export.formats.tar import Tar, room
from caption_flow.export.images import Image, Images
from caption_flow.export.names import distinct_stem, stem
from caption_flow.export.ports import LEFT_OUT, Layout, Rows

logger = logging.getLogger(__name__)

_DRAFTED = "tars"  # the folder of finished ones
_MOST_BYTES = 1 << 30  # of a tar of several
_TOLD = 5  # samples without an image that are named


class _Sample(Struct, frozen=True):
    """What becomes of a row."""

    home: str  # the tar that it belongs to; empty: to any
    key: str
    members: tuple[tuple[str, bytes], ...]


class Tars:
    """Writes samples to tars: to those of their shards where these are tars, else to numbered ones.

    With their images, rows come as they lie in the parts, and all tars are numbered.
    """

    def __init__(
        self, draft: Draft, layout: Layout, images: Images | None, samples_per_file: int
    ) -> None:
        """Go on after the tars that an earlier writer finished, or begin."""
        begun = draft.progress
        self._draft = draft
        self._images = images
        self._aligned = aligned(layout.shards)
        self._samples_per_file = samples_per_file
        self._json = metadata(layout.json)
        self._rows = self._settled = begun.settled if begun else 0
        self._state: Mapping[str, Any] = begun.state if begun else {"files": 0, LEFT_OUT: 0}
        self._left_out = int(self._state[LEFT_OUT])
        self._told = 0
        self._example = str(self._state.get("example", ""))
        self._home = ""
        self._open: Tar | None = None
        with writing(draft.path):
            self._folder.mkdir(exist_ok=True)

    def write(self, rows: Rows) -> None:
        """Take samples."""
        for id_, sample, error in self._samples(rows):
            if error:
                self._leave_out(id_, error)
            else:
                with writing(self._path):
                    self._put(sample)
            self._rows += 1

    def settle(self) -> int:
        """Tell how many rows are in finished tars, or left out before them."""
        return self._settled

    def state(self) -> Mapping[str, Any]:
        """Tell how many tars are finished, and how many samples have no image."""
        return self._state

    def finish(self) -> Mapping[str, Any]:
        """Finish the last tar; answers the names of all."""
        with writing(self._path):
            if self._open is not None:
                self._finish_tar(self._open)
            self._note()
            found = sorted(self._folder.rglob("*.tar"))
        names = [one.relative_to(self._folder).as_posix() for one in found]
        return {**self._state, "names": names}

    def close(self) -> None:
        """Let go of the open tar, and leave images that are being read."""
        if self._open is not None:
            self._open.close()
        if self._images is not None:
            self._images.close()

    @property
    def _folder(self) -> Path:
        return self._draft.file(_DRAFTED)

    @property
    def _path(self) -> Path:
        return self._draft.file("open")

    def _samples(self, rows: Rows) -> Iterator[tuple[str, _Sample, str]]:
        images = self._images.of(rows.samples) if self._images else repeat(Image())
        ids = rows.samples.column("id").to_pylist()
        shards = rows.samples.column("shard").to_pylist() if self._aligned else repeat("")
        made = zip(captions(rows), self._json(rows), strict=True)
        for id_, shard, name, (text, about), image in zip(
            ids, shards, rows.names, made, images, strict=False
        ):
            members = ((image.extension, image.data),) if self._images else ()
            members = (*members, ("txt", text), ("json", about))
            yield id_, _Sample(*self._place(shard, name), members), image.error

    def _place(self, shard: str, name: str) -> tuple[str, str]:
        if not self._aligned:
            return "", name
        home, within = _home(shard)
        return home, name.removeprefix(within)

    def _put(self, sample: _Sample) -> None:
        tar = self._open
        if tar is not None and (sample.home != self._home or self._is_full(tar, sample)):
            self._finish_tar(tar)
            tar = None
        if tar is None:
            tar = self._open = Tar(self._path)
            self._home = sample.home
        tar.add(sample.key, sample.members)

    def _is_full(self, tar: Tar, sample: _Sample) -> bool:
        full = tar.samples >= self._samples_per_file
        return not sample.home and (full or tar.size + room(sample.members) > _MOST_BYTES)

    def _finish_tar(self, tar: Tar) -> None:
        tar.finish()
        number = int(self._state["files"])
        final = self._folder / f"{self._home or f'{number:05}'}.tar"
        final.parent.mkdir(parents=True, exist_ok=True)
        self._path.rename(final)
        self._open = None
        self._state = {**self._state, "files": number + 1}
        self._note()

    def _note(self) -> None:
        """Note what is settled: all up to here."""
        self._settled = self._rows
        said = {LEFT_OUT: self._left_out, "example": self._example}
        self._state = {**self._state, **said}

    def _leave_out(self, id_: str, why: str) -> None:
        self._left_out += 1
        self._example = self._example or f"{id_}: {why}"
        if self._told < _TOLD:
            logger.warning("Leaving out %s, whose image cannot be read: %s", id_, why)
        self._told += 1


@lru_cache(maxsize=16)
def _home(shard: str) -> tuple[str, str]:
    """Name the tar that goes beside a shard, and what the names of its samples begin with."""
    return distinct_stem(shard, ".tar"), f"{stem(shard)}/"


def aligned(shards: tuple[str, ...]) -> bool:
    """Whether there is a tar for each shard: where all of these are tars."""
    return bool(shards) and all(shard.endswith(".tar") for shard in shards)


def drafted(draft: Draft, name: str) -> Path:
    """Where a finished tar is drafted."""
    return draft.file(_DRAFTED) / name
