"""Command line: the options of `export` for formats that need more than the rows."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct

from caption_flow.cli.options import networks
from caption_flow.cli.view_place import pixels_of
from caption_flow.config import JobConfig
from caption_flow.export.images import Images

F = TypeVar("F", bound=Callable[..., Any])


class Beside(Struct, frozen=True):
    """What the user says of what lies beside the rows."""

    dataset: str | None = None  # the images
    networks: tuple[str, ...] = ()
    captions_only: bool = False
    metadata: Path | None = None

    def overrides(self) -> dict[str, object]:
        """Say it as settings."""
        return {
            "dataset__dataset_path": self.dataset,
            "dataset__allow_networks": self.networks or None,
        }

    def images(self, config: JobConfig) -> Callable[[], Images] | None:
        """Lay out how images are read; None: they are not wanted."""
        return None if self.captions_only else lambda: Images(pixels_of(config))

    def indexes(self) -> Path:
        """Say where the indexes of tars are, which must be given."""
        if self.metadata is None:
            raise click.UsageError(
                "--format webshart needs --metadata PATH, the folder of NAME.json for NAME.tar."
            )
        return self.metadata


def beside_options(function: F) -> F:
    """Add the options; the command gets them as `beside`."""

    @wraps(function)
    def with_beside(
        dataset: str | None,
        captions_only: bool,
        metadata: Path | None,
        allow_networks: tuple[str, ...],
        **rest: Any,
    ) -> Any:
        return function(beside=Beside(dataset, allow_networks, captions_only, metadata), **rest)

    command: Any = networks(with_beside)
    for option in reversed(
        (
            click.option(
                "--dataset",
                metavar="PATH",
                help="The images, for webdataset: a folder, a file, a URL, a place on the hub.",
            ),
            click.option(
                "--captions-only",
                is_flag=True,
                help="In webdataset, no images: tars that go beside those of the data set.",
            ),
            click.option(
                "--metadata",
                metavar="PATH",
                type=click.Path(path_type=Path),
                help="For webshart, the folder of NAME.json for NAME.tar.",
            ),
        )
    ):
        command = option(command)
    return command  # type: ignore[no-any-return]
