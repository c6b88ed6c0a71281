"""Fetch: whether it is single hosts that do not answer, or our own network that is gone.

Of many dead hosts in a list all downloads in flight may be, while the live ones wait behind them.
So before our own network is blamed, hosts that answered a while ago are tried; where none ever
did, one that is there for everybody.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from caption_flow.fetch.resolver import CONTROL
from caption_flow.lifecycle import cancel

Knock: TypeAlias = Callable[[str, int], Awaitable[bool]]  # host, port -> whether it is there

_FAILURES, _HOSTS = 32, 8  # where no host ever answered
_FELL_SILENT = 8  # failures, where some did
_HTTPS = 443
_REMEMBERED = 8  # hosts that answered
_NOTED = 64  # hosts that did not


class Reach:
    """Counts hosts that could not be reached since one last was."""

    def __init__(self, knock: Knock) -> None:
        self.cut_off = False  # no host answers any more: it must be our own network
        self._knock = knock
        self._knocking: asyncio.Task[None] | None = None
        self._failures = 0
        self._silent: set[tuple[str, int]] = set()
        self._answered: OrderedDict[tuple[str, int], None] = OrderedDict()

    def failed(self, host: str, port: int) -> None:
        """Note a host that did not answer, or is not tried any more since it did not."""
        self._failures += 1
        if len(self._silent) < _NOTED:
            self._silent.add((host, port))

    def answered(self, host: str, port: int) -> None:
        """Note that some host answered, whatever it said."""
        self._answered[host, port] = None
        self._answered.move_to_end((host, port))
        if len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        self._begin_anew()

    async def judge(self) -> None:
        """Find out whether we are cut off, before a download fails for good."""
        while self._is_suspect and not self.cut_off:
            if self._knocking is None or self._knocking.done():
                self._knocking = asyncio.create_task(self._try_known_ones())
            await asyncio.shield(self._knocking)

    async def close(self) -> None:
        """Leave what is being found out."""
        if self._knocking is not None:
            await cancel(self._knocking)

    @property
    def _is_suspect(self) -> bool:
        if self._answered:
            return self._failures >= _FELL_SILENT
        return self._failures >= _FAILURES and len(self._silent) >= _HOSTS

    async def _try_known_ones(self) -> None:
        # Not those that are silent now: one may take connections, and still give nothing.
        others = [where for where in self._answered if where not in self._silent]
        others = others if self._answered else [(CONTROL, _HTTPS)]
        there = await asyncio.gather(*(self._knock(*where) for where in others))
        if any(there):
            self._begin_anew()
        elif self._is_suspect:  # and nobody answered meanwhile
            self.cut_off = True

    def _begin_anew(self) -> None:
        self.cut_off = False
        self._failures = 0
        self._silent.clear()
