"""Command line: which dead letters are meant."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

import click
from msgspec.structs import replace

from caption_flow.queue.ports import LetterFilter

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Read a date or time, local unless it has a zone, or how long ago, as seconds of the epoch."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return time.time() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as exc:
        raise click.BadParameter(
            f'"{text}" is no time; write 2026-01-31, 2026-01-31T14:30, or how long ago: '
            "90s, 15m, 2h, 3d, 1w.",
            ctx,
            param,
        ) from exc


def filtered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose letters; the command gets them as the filter `wanted`."""

    @wraps(function)
    def with_filter(
        reasons: tuple[str, ...],
        stages: tuple[str, ...],
        since: float | None,
        until: float | None,
        **rest: Any,
    ) -> Any:
        wanted = LetterFilter(
            reasons=frozenset(reasons), stages=frozenset(stages), since=since, until=until
        )
        return function(wanted=wanted, **rest)

    for option in reversed(
        (
            click.option(
                "--reason",
                "reasons",
                metavar="WORD",
                multiple=True,
                help="Given up for this reason; may be repeated.",
            ),
            click.option(
                "--stage",
                "stages",
                metavar="NAME",
                multiple=True,
                help='Given up in this stage, "" for the feeder; may be repeated.',
            ),
            click.option(
                "--since",
                metavar="WHEN",
                callback=moment,
                help="Given up then or later: a date, a time, or how long ago, as in 2h or 3d.",
            ),
            click.option("--until", metavar="WHEN", callback=moment, help="Given up before then."),
        )
    ):
        with_filter = option(with_filter)
    return with_filter


def selection(wanted: LetterFilter, ids: tuple[str, ...], *, every: bool) -> LetterFilter:
    """Make the filter of a command that must be told which letters it is for."""
    chosen = replace(wanted, ids=frozenset(ids))
    if every == (chosen != LetterFilter()):
        raise click.UsageError(
            "Say which dead letters: IDs, --reason, --stage, --since, --until, or else --all."
        )
    return chosen
