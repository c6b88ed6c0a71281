"""Export: `webdataset`: tars with a caption for each image, with the images or beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from caption_flow.errors import ConfigError
from caption_flow.export.draft import Draft, publish, refuse_existing, writing
from caption_flow.export.formats.folder import FolderFormat
from caption_flow.export.formats.tar import is_ours
from caption_flow.export.formats.tars import Tars, drafted
from caption_flow.export.images import Images
from caption_flow.export.ports import LEFT_OUT, Layout, Needs, Published, Writer

_BATCH = 500  # rows, whose images are read before the next ones are asked for


class WebDatasetFormat(FolderFormat):
    """Tars in a folder; those of an earlier export are replaced together, and no others."""

    def __init__(
        self,
        output: Path,
        *,
        overwrite: bool,
        samples_per_file: int,
        images: Callable[[], Images] | None,
    ) -> None:
        """`images`: opens the data set; None: captions only, in the tars of their shards."""
        super().__init__(output, "webdataset", overwrite=overwrite)
        self._samples_per_file = samples_per_file
        self._images = images
        self.needs = Needs(samples=True, names="keys", by_shard=images is None, batch=_BATCH)

    def refuse(self) -> None:
        """Refuse where tars are, and always where they are not from an export."""
        super().refuse()
        there = self._there()
        refuse_existing(there, overwrite=self._overwrite)
        for one in there:
            if not is_ours(one):
                raise ConfigError(
                    f"{one} was not written by an export, and --overwrite replaces only what was. "
                    "Name another --output."
                )

    def writer(self, draft: Draft, layout: Layout) -> Writer:
        """Write tars under the names that they will have."""
        images = self._images() if self._images else None
        return Tars(draft, layout, images, self._samples_per_file)

    def publish(self, draft: Draft, state: Mapping[str, Any]) -> Published:
        """Name them, delete those of an earlier export, and tell of samples without an image."""
        finals = {name: self.output / name for name in state["names"]}
        for name, final in finals.items():
            publish(drafted(draft, name), final)
        with writing(self.output):
            for old in set(self._there()).difference(finals.values()):
                if is_ours(old):
                    old.unlink()
        if not state[LEFT_OUT]:
            return Published()
        return Published(
            f"{state[LEFT_OUT]:,} samples are left out, since their images cannot be read, such as "
            f"{state['example']}. Where that can be mended, export again with --overwrite; "
            "--captions-only exports all captions, without images."
        )

    def _there(self) -> list[Path]:
        """List the tars of an earlier export, or what is in their places."""
        if not self.output.is_dir():
            return []
        drafts = self.draft
        return sorted(one for one in self.output.rglob("*.tar") if drafts not in one.parents)
