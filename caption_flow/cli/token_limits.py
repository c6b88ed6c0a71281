"""Command line: what a token allows, as options."""

import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from msgspec import Struct

from caption_flow.config.proxy import expiry
from caption_flow.config.sizes import parse_size
from caption_flow.errors import ConfigError
from caption_flow.grants import Grant, Role

_AFTER = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STAGE = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_LONGEST_NAME = 100  # characters


class Limits(Struct, frozen=True):
    """How far a token lets its owner."""

    expires: float | None = None  # seconds since the epoch
    stages: tuple[str, ...] = ()
    max_workers: int | None = None
    samples_per_minute: int | None = None
    bytes_per_day: int | None = None
    trusted: bool = False
    anonymous: bool = False

    def grant(self, name: str, role: Role, sha256: str, added: float) -> Grant:
        """Make what a proxy knows of it."""
        limits = {field: getattr(self, field) for field in self.__struct_fields__}
        return Grant(name=name, role=role, sha256=sha256, added=added, **limits)


def limited(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how far a token goes; the command gets them as `limits`."""

    @wraps(function)
    def with_limits(**options: Any) -> Any:
        limits = Limits(**{field: options.pop(field) for field in Limits.__struct_fields__})
        return function(limits=limits, **options)

    for option in reversed(_OPTIONS):
        with_limits = option(with_limits)
    return with_limits


def contributor(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """Take the name of who owns a token."""
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= _LONGEST_NAME:
        raise click.BadParameter(
            f"{name!r} is no name; it has 1 to {_LONGEST_NAME} printable characters, and no space "
            "at its ends.",
            ctx,
            param,
        )
    return name


def _expires(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if after := _AFTER.fullmatch(text):
        return time.time() + int(after[1]) * _SECONDS[after[2]]
    try:
        moment = expiry(text)
    except (ConfigError, OverflowError) as exc:
        raise click.BadParameter(
            f'"{text}" is no time; write 2027-01-31 (its beginning, by UTC), '
            "2027-01-31T18:00:00+02:00, or how long it is good: 12h, 30d, 8w.",
            ctx,
            param,
        ) from exc
    if moment <= time.time():
        raise click.BadParameter(f'"{text}" has passed.', ctx, param)
    return moment


def _stages(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _STAGE.fullmatch(name):
            raise click.BadParameter(f"{name!r} is no name of a stage.", ctx, param)
    return names


def _size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    size = None if text is None else parse_size(text)
    if text is not None and not size:
        raise click.BadParameter(
            f'"{text}" is no size above 0; write 500MB, 10GiB, or a number of bytes.', ctx, param
        )
    return size


_OPTIONS = (
    click.option(
        "--expires",
        metavar="WHEN",
        callback=_expires,
        help="When it ends: 2027-01-31, 2027-01-31T18:00:00+02:00, or 30d from now.",
    ),
    click.option(
        "--stage",
        "stages",
        metavar="NAME",
        multiple=True,
        callback=_stages,
        help="Stage that it may serve, and no other; may be repeated.",
    ),
    click.option("--max-workers", type=click.IntRange(1), help="Connections at once."),
    click.option("--samples-per-minute", type=click.IntRange(1), help="Samples sent to it."),
    click.option(
        "--bytes-per-day",
        metavar="SIZE",
        callback=_size,
        help="Bytes of images sent to it, by the day of UTC: 10GiB.",
    ),
    click.option("--trusted", is_flag=True, help="Its captions check those of others."),
    click.option("--anonymous", is_flag=True, help="Not named in leaderboards."),
)
