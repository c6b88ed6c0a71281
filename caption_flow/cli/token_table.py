"""Command line: tokens for people and programs, without what would let anybody in."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from caption_flow.cli.showing import console_here
from caption_flow.config.sizes import spelt
from caption_flow.grants import Grant
from caption_flow.plain import printable

_SHOWN = 8  # digits of a hash, to tell two tokens apart


class Standing(Struct, frozen=True):
    """A token, and where it stands."""

    grant: Grant
    where: str  # "document" or "Redis"

    @property
    def expired(self) -> bool:
        """Whether it lets nobody in any more."""
        return self.grant.expires is not None and self.grant.expires <= time.time()


def as_json(standing: Standing) -> bytes:
    """Write all of it in a line but the whole hash."""
    told: dict[str, Any] = msgspec.to_builtins(standing.grant)
    del told["sha256"]
    told |= {"sha256_begins": standing.grant.sha256[:_SHOWN], "where": standing.where}
    return msgspec.json.encode(told | {"expired": standing.expired}) + b"\n"


def show_tokens(standing: list[Standing]) -> None:
    """Print one line for each token."""
    console = console_here()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "role", "limits", "expires", "stands in", "SHA-256"):
        table.add_column(name, overflow="fold")
    for one in standing:
        grant = one.grant
        limits = ", ".join(_limits(grant)) or "none"
        cells = (grant.name, grant.role, limits, _expires(one), one.where)
        row = (*cells, f"{grant.sha256[:_SHOWN]}…")
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def _limits(grant: Grant) -> Iterator[str]:
    if grant.stages:
        yield f"stages {' '.join(grant.stages)}"
    if grant.max_workers is not None:
        yield f"{grant.max_workers:,} workers"
    if grant.samples_per_minute is not None:
        yield f"{grant.samples_per_minute:,} samples a minute"
    if grant.bytes_per_day is not None:
        yield f"{spelt(grant.bytes_per_day)} a day"
    if grant.trusted:
        yield "trusted"
    if grant.anonymous:
        yield "anonymous"


def _expires(one: Standing) -> str:
    if one.grant.expires is None:
        return "never"
    at = datetime.fromtimestamp(one.grant.expires, UTC)
    return f"{at:%Y-%m-%d %H:%M} UTC{' (expired)' if one.expired else ''}"
