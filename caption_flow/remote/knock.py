"""Remote, at the door: what a proxy says to a token. Asked once, and left again."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime

from msgspec import Struct
from websockets.exceptions import ConnectionClosed

from caption_flow.errors import CaptionFlowError, ServerUnfit
from caption_flow.grants import ROLES, Role
from caption_flow.remote.entrance import Entrance, Wire
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import SettingsTold, Welcome

SETTINGS_SECONDS = 5.0  # for the settings, which come unasked


class Visit(Struct, frozen=True):
    """What there was to hear."""

    role: Role  # that the token is for
    welcome: Welcome
    settings: bytes | None  # the document; None: none came
    ahead: float | None  # seconds by which the clock of the proxy, which tells no parts, is ahead


async def knock(way: Callable[[Role], Entrance], roles: Sequence[Role] = ROLES) -> Visit:
    """Come in under the first role that the token is for; raises what keeps us out."""
    kept_out: CaptionFlowError | None = None
    for role in roles:
        try:
            async with way(role).opened(()) as (wire, welcome):
                ahead = _ahead(wire)
                return Visit(role, welcome, await _settings(wire), ahead)
        except ServerUnfit as exc:
            if not _is_for_another_role(exc):
                raise
            kept_out = exc
    raise kept_out or ValueError("no role to come in under")


def _is_for_another_role(error: ServerUnfit) -> bool:
    cause = error.__cause__
    return isinstance(cause, ConnectionClosed) and (
        cause.rcvd is not None and cause.rcvd.code == Close.FORBIDDEN
    )


def _ahead(wire: Wire) -> float | None:
    told = wire.response.headers.get("Date") if wire.response else None
    try:
        return parsedate_to_datetime(told).timestamp() - time.time() if told else None
    except (TypeError, ValueError):
        return None


async def _settings(wire: Wire) -> bytes | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTINGS_SECONDS):
            while True:
                frame, _ = await wire.frame()
                if isinstance(frame, SettingsTold):
                    return frame.document
    return None
