"""Command line: which samples of a data set are meant."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from caption_flow.config import DatasetConfig
from caption_flow.feed.selection import Selection

F = TypeVar("F", bound=Callable[..., Any])


def selecting(function: F) -> F:
    """Add the options that choose samples; the command hands their values to `selected`."""
    for option in reversed(
        (
            click.option(
                "--limit", type=click.IntRange(min=1), help="Only the first so many samples."
            ),
            click.option(
                "--shards",
                metavar="PATTERN",
                multiple=True,
                help="Only shards whose name matches, as in 'train/*'; may be repeated.",
            ),
            click.option(
                "--sample",
                metavar="SHARE",
                help="Only this share of the samples, as in 1% or 0.01; the same ones each time.",
            ),
        )
    ):
        function = option(function)
    return function


def selected(limit: int | None, shards: tuple[str, ...], sample: str | None) -> dict[str, Any]:
    """Make overrides of the options."""
    return {
        "dataset__limit": limit,
        "dataset__shards": shards or None,
        "dataset__sample": sample,
    }


def selection_of(dataset: DatasetConfig) -> Selection:
    """Say which samples the settings choose."""
    return Selection(limit=dataset.limit, shards=dataset.shards, share=dataset.sample)
