"""Whose the other end of a connection is."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caption_flow.web import peer
from caption_flow.web.peer import Peer

SOMEBODY = 65533
ROW = "0: 0100007F:A001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 1000 0 77 1"
MAPPED = "0000000000000000FFFF00000100007F"


pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="no list of sockets is here"
)


@contextmanager
def connected(
    host: str = "127.0.0.1", *, user: int | None = None, mapped: bool = False
) -> Iterator[tuple[Peer, socket.socket]]:
    """Give a peer as a server knows it, and the peer's own socket, made by some user."""
    sixth = mapped or ":" in host
    family = socket.AF_INET6 if sixth else socket.AF_INET
    at = "::" if mapped else host
    with (
        socket.create_server((at, 0), family=family, dualstack_ipv6=mapped) as server,
        _socket(socket.AF_INET6 if ":" in host else socket.AF_INET, user) as client,
    ):
        client.connect((host, server.getsockname()[1]))
        taken, theirs = server.accept()
        with taken:
            yield Peer.of(theirs, taken.getsockname()), client


def _socket(family: socket.AddressFamily, user: int | None) -> socket.socket:
    """A socket is the user's who makes it."""
    us = os.geteuid()
    os.seteuid(us if user is None else user)
    try:
        return socket.socket(family)
    finally:
        os.seteuid(us)


def user_of(rows: str, **ends: object) -> list[int]:
    known = {"address": "127.0.0.1", "port": 0xA001, "our_address": "127.0.0.1", "our_port": 8080}
    return [*Peer(**(known | ends)).users(rows)]  # type: ignore[arg-type]


async def test_other_end_may_be_our_own_user():
    with connected() as (found, _):
        assert await found.is_our_user()


async def test_address_is_known_in_either_spelling():
    with connected(mapped=True) as (found, _):
        assert found.address == "::ffff:127.0.0.1"
        assert await found.is_our_user()


async def test_other_end_is_known_by_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with connected("::1") as (found, _):
        assert await found.is_our_user()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes sockets of others")
@pytest.mark.parametrize("user", [SOMEBODY, 65534])
async def test_other_end_may_be_another_user(user: int):
    with connected(user=user) as (found, _):
        assert not await found.is_our_user()


async def test_end_that_is_closed_is_nobody():
    """The kernel lists it as root's."""
    with connected() as (found, client):
        client.close()
        assert not await found.is_our_user()


async def test_nobody_is_no_user_of_ours(monkeypatch: pytest.MonkeyPatch):
    """A namespace calls all nobody whom it does not know."""
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(Peer, "users", lambda *_: iter([65534]))
    assert not await Peer("127.0.0.1", 1, "127.0.0.1", 2).is_our_user()


async def test_beside_linux_all_of_the_host_are_taken_for_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert await Peer("127.0.0.1", 1, "127.0.0.1", 2).is_our_user()


async def test_without_a_list_nobody_is_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peer, "_LISTS", (Path("/nowhere"),))
    with connected() as (found, _):
        assert not await found.is_our_user()


def test_row_says_whose_it_is():
    assert user_of(ROW) == [1000]
    assert user_of(ROW.replace("0100007F", MAPPED)) == [1000]


@pytest.mark.parametrize(
    "ends",
    [
        {"port": 0xA002},
        {"our_port": 8081},
        {"address": "127.0.0.2"},
        {"our_address": "127.0.0.2"},
        {"address": ""},
        {"port": 8080, "our_port": 0xA001},  # our own end of it
    ],
)
def test_row_of_another_connection_says_nothing(ends: dict[str, object]):
    assert user_of(ROW, **ends) == []


@pytest.mark.parametrize(
    "row",
    [
        "",
        "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode",
        ROW.replace("0100007F", "0100007G"),
        ROW.replace("0100007F", "01"),
        ROW.replace("0100007F", "FFFFFFFFFFFFFFFFFF"),
        ROW.replace("0100007F", ""),
        ROW.replace(" 1000 ", " -1 "),
        ROW.replace(" 1000 ", " root "),
        ROW.replace(" 01 ", " 06 "),
        ROW[:40],
    ],
)
def test_row_that_cannot_be_read_says_nothing(row: str):
    assert user_of(row) == []
