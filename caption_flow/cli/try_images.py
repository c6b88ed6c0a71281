"""`caption-flow try`: caption a few images at once, and show what a run would write."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

import click
from msgspec import Struct

from caption_flow.cli.loading import Loading, loads_model
from caption_flow.cli.options import documented, overrides, publishing_config
from caption_flow.cli.printing import printing, results
from caption_flow.cli.running import run_async
from caption_flow.cli.try_compare import Comparison
from caption_flow.cli.try_json import JsonLines
from caption_flow.cli.try_report import Report, Showing
from caption_flow.config import JobConfig
from caption_flow.errors import ConfigError
from caption_flow.lifecycle import Drain
from caption_flow.model import Columns
from caption_flow.preview.images import named_images
from caption_flow.preview.loaded import Loaded
from caption_flow.preview.setting import Setting, tried
from caption_flow.preview.told import Shown, Summary

EXIT_FAILED = 1  # of an image
MOST = 1000  # images, which are in memory all at once


class _Asked(Struct, frozen=True):
    """What is to be tried."""

    paths: tuple[Path, ...]
    columns: Columns
    limit: int
    stage: str | None


@click.command("try")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="An image to caption, or a folder of some; more than one may be.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=TEXT",
    help="A column of all images, for prompts that name it.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MOST),
    default=8,
    show_default=True,
    help="Most images of a folder.",
)
@click.option("--stage", metavar="NAME", help="The last stage to try; those before it are too.")
@click.option(
    "--compare",
    metavar="DOCUMENT",
    type=click.Path(path_type=Path),
    help="Another YAML document: show what each makes of the images, side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@loads_model
@documented
def command(
    files: tuple[Path, ...],
    images: tuple[Path, ...],
    columns: tuple[str, ...],
    limit: int,
    stage: str | None,
    compare: Path | None,
    as_json: bool,
    explicit: Path | None,
    changes: tuple[str, ...],
    loading: Loading,
) -> int:
    """Caption a few images (FILES, --image) and show each prompt, caption, tokens and time.

    Takes the document that a run takes, without a queue, and writes nothing. Flags that change
    settings count for both documents of --compare.
    """
    asked = _Asked((*files, *images), _columns(columns), limit, stage)
    if not 0 < len(asked.paths) <= MOST:
        raise click.UsageError(f"Name the images to caption, {MOST:,} at most.")
    made = overrides(changes, **loading.settings)
    documents = {"A": explicit} if compare is None else {"A": explicit, "B": compare}
    configs = {
        label: publishing_config("run", path, made, dict(os.environ))
        for label, path in documents.items()
    }
    settings = {label: _setting(asked, config) for label, config in configs.items()}
    loading.select_gpu()
    with results() as out:
        showing = _showing(out, as_json=as_json, compared=compare is not None)
        with printing(out):
            showing.begin({label: one.settings for label, one in settings.items()})
        trial = _Trial(settings, showing, out, loading)
        done = run_async(trial.run)
    if not done:
        raise click.Abort
    return EXIT_FAILED if trial.failed else 0


class _Trial:
    """All settings, one after the other."""

    def __init__(
        self,
        settings: Mapping[str, Setting],
        showing: Showing,
        out: TextIO,
        loading: Loading,
    ) -> None:
        self._settings = settings
        self._showing = showing
        self._out = out
        self._loading = loading
        self._sums: dict[str, Summary] = {}

    @property
    def failed(self) -> bool:
        """Whether an image has no caption."""
        return any(one.failed for one in self._sums.values())

    async def run(self, drain: Drain) -> bool:
        """Try them; False if asked to stop before the end."""
        await self._loading.during(drain, lambda loaded: self._try(loaded, drain))
        return len(self._sums) == len(self._settings)

    async def _try(self, loaded: Loaded, drain: Drain) -> None:
        for label, setting in self._settings.items():
            show = partial(self._show, label)
            self._sums[label] = await tried(setting, loaded, drain, show)
        with printing(self._out):
            self._showing.end(self._sums)

    def _show(self, label: str, shown: Shown) -> None:
        with printing(self._out):
            self._showing.show(label, shown)


def _setting(asked: _Asked, config: JobConfig) -> Setting:
    images = named_images(asked.paths, config.dataset, asked.columns, most=asked.limit)
    return Setting.of(config, asked.stage, images)


def _columns(given: Sequence[str]) -> Columns:
    columns: Columns = {}
    for column in given:
        name, equals, text = column.partition("=")
        if not equals or not name:
            raise ConfigError(f'--column {column}: write NAME=TEXT, as in "title=A walk".')
        columns[name] = text
    return columns


def _showing(out: TextIO, *, as_json: bool, compared: bool) -> Showing:
    if as_json:
        return JsonLines(out)
    return Comparison(out) if compared else Report(out)
