"""Each role may say what is its own, and nothing else."""

from itertools import product
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from caption_flow.grants import Grant, Role
from caption_flow.wire import administering as admin
from caption_flow.wire import asking, feeding
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    Complete,
    Hello,
    Serve,
    Welcome,
)
from tests.proxy.callers import SHA, TOKENS, enter, home
from tests.proxy.client import RawClient
from tests.proxy.house import House

__all__ = ["home"]

SERVE, SETTLE = Serve(1, 0, None), Complete(1, 0, (("1-1", ()),))

# Frames that only clients of some roles may send.
OF_ROLES: dict[Any, set[Role]] = {
    SERVE: {"worker"},
    SETTLE: {"worker"},
    feeding.Publish(1, "data"): {"feeder"},
    feeding.Remind(1, 1, "data"): {"feeder"},
    feeding.Position(1): {"feeder"},
    feeding.Epoch(1): {"feeder"},
    feeding.Plan(1, "", "1", 1, done=False): {"feeder"},
    feeding.KnownWanted(1, later=True): {"feeder"},
    feeding.Claim(1, ()): {"feeder"},
    feeding.OfferMade(1, "1-1", 0, 1, 1, ((1, 1, 0),)): {"feeder"},
    feeding.Look(1, "1-1", 0, begins=True): {"feeder"},
    feeding.Withdraw(1, "1-1", "", "1"): {"feeder"},
    asking.SnapshotWanted(1): {"monitor", "admin"},
    asking.LettersWanted(1, 1): {"monitor", "admin"},
    asking.ColumnsWanted(1, 1): {"monitor", "admin"},
    asking.CaptionsWanted(1, 1): {"monitor", "admin"},
    asking.ShardsWanted(1, b"", 1): {"monitor", "admin"},
    admin.SettingsWanted(1): {"admin"},
    admin.Reload(1, 1): {"admin"},
    admin.GiveOrder(1, "pause"): {"admin"},
    admin.TokensWanted(1): {"admin"},
    admin.PutToken(1, b"{}", None): {"admin"},
    admin.RemoveToken(1, "ann", "worker"): {"admin"},
    admin.ContributorsWanted(1): {"admin"},
    admin.HandBack(1, "ann"): {"admin"},
}
FORBIDDEN = [
    (frame, role) for frame, role in product(OF_ROLES, TOKENS) if role not in OF_ROLES[frame]
]


@pytest.mark.parametrize(
    ("frame", "role"),
    FORBIDDEN,
    ids=lambda value: str(getattr(type(value), "__name__", value)),
)
async def test_frame_of_another_role_closes(home: House, frame: Any, role: Role):
    client = await enter(home, role)

    await client.say(frame)

    await client.refused(Close.FORBIDDEN)


@pytest.mark.parametrize(("token", "role"), [*product(TOKENS, TOKENS)])
async def test_token_is_for_its_role_and_that_of_an_operator_for_looking(
    home: House, token: Role, role: Role
):
    client = await RawClient.open(home.url, TOKENS[token])

    await client.say(Hello(role, "m1", "host", 1, "test"))

    if token == role or (token, role) == ("admin", "monitor"):
        assert (await client.hear(Welcome)).contributor == f"the {token}"
    else:
        await client.refused(Close.FORBIDDEN)


GRANTED = Grant("ann", "worker", SHA)
TOKENS_OF_LIES = {
    "no hash": replace(GRANTED, sha256="secret"),
    "no name": replace(GRANTED, name=""),
    "a name that cannot be shown": replace(GRANTED, name="a\x1bb"),
    "no connections": replace(GRANTED, max_workers=-1),
}


@pytest.mark.parametrize("case", TOKENS_OF_LIES)
async def test_token_that_cannot_be_closes(home: House, case: str):
    operator = await enter(home, "admin")

    await operator.say(admin.PutToken(1, msgspec.json.encode(TOKENS_OF_LIES[case]), None))

    await operator.refused(Close.MALFORMED)
