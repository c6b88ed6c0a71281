"""Proxy: what a session does for one role: the frames it takes, and how each is handled.

The session itself knows nothing of the roles; another role is another desk.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from caption_flow.wire.closing import Close
from caption_flow.wire.fields import Frame

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

# Any: each handler takes the one kind of frame under which it is listed, and its payload.
Handler: TypeAlias = Callable[[Any, memoryview], Awaitable[None]]


class End(Struct, frozen=True):
    """How a session ends."""

    code: Close | None  # None: the connection broke, or is of no use any more
    reason: str = ""

    @property
    def resumable(self) -> bool:
        """Whether the client may come back for what it holds."""
        return self.code in {None, Close.LATE, Close.GOING}


class Desk(Protocol):
    """One role's part in a session."""

    handlers: Mapping[type[Frame], Handler]

    def look(self) -> None:
        """Follow what has changed of the settings or the orders."""
        ...

    async def close(self, end: End) -> None:
        """Let go of what the client holds, as the end demands it."""
        ...


MakeDesk: TypeAlias = "Callable[[Session], Desk]"
