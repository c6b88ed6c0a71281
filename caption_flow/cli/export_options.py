"""Command line: which options of `export` say something in which format; others are refused."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.core import ParameterSource

from caption_flow.cli.export_formats import ALL, HUB, KINDS, NAMES

_HUB = frozenset({HUB, ALL})
_TARS = frozenset({"webdataset", ALL})
_FILES = frozenset({"json", "txt", "webdataset", ALL})
# Parameters that some formats only heed, by the names that they have in the command.
_HEEDED: Mapping[str, frozenset[str]] = {
    "hf_dataset": _HUB,
    "private": _HUB,
    "nsfw": _HUB,
    "licence": _HUB,
    "tags": _HUB,
    "exact": frozenset({"csv", ALL}),
    "rows_per_file": frozenset({"parquet", "webdataset", "lance", HUB, ALL}),
    "filename": _FILES,
    "columns": frozenset(NAMES).difference({"txt", "webshart"}),
    "dataset": _TARS,
    "allow_networks": _TARS,
    "captions_only": _TARS,
    "metadata": frozenset({"webshart", ALL}),
    "explode": frozenset(name for name, kind in KINDS.items() if kind.tables) | {HUB},
}
_WRITING = frozenset({"name", "output", "overwrite", *_HEEDED}).difference({"hf_dataset"})


class FormatName(click.ParamType):  # type: ignore[type-arg]  # in older releases it has none
    """A format by its name; hyphens are underscores."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Find the format."""
        name = str(value).replace("-", "_")
        if name not in NAMES:
            self.fail(f"{value!r} is not one of {', '.join(NAMES)}.", param, ctx)
        return name


def refuse_unheeded(context: click.Context, name: str, *, stats_only: bool) -> None:
    """Refuse options that would do nothing; UsageError names them."""
    for option in _given(context):
        if stats_only and option.name in _WRITING:
            raise click.UsageError(
                f"{option.opts[0]} does nothing with --stats-only, which writes nothing."
            )
        heeded = _HEEDED.get(option.name or "")
        if heeded is not None and name not in heeded:
            formats = ", ".join(one for one in NAMES if one in heeded)
            raise click.UsageError(
                f"{option.opts[0]} does nothing with --format {name}; it goes with {formats}."
            )


def _given(context: click.Context) -> Iterator[click.Option]:
    for option in context.command.params:
        if isinstance(option, click.Option) and option.name:
            source = context.get_parameter_source(option.name)
            if source is ParameterSource.COMMANDLINE:
                yield option
