"""Web: who is at the other end of a connection, and whether it is this process' own user.

On one host the kernel knows whose each socket is. So a program of somebody else that passes on what
strangers send is told from a browser of our user, whatever it says. Linux lists this in /proc.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from msgspec import Struct

_LISTS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_OURS, _THEIRS, _STATE, _USER = 1, 2, 3, 7  # places in a row
_OPEN = "01"  # of a socket that was closed, the kernel does not tell the user
_NOBODY = 65534  # also anybody whom this namespace of users does not know
_WORD = 8  # digits, in the byte order of the host

_Address = IPv4Address | IPv6Address


class Peer(Struct, frozen=True):
    """The two ends of a connection; addresses are "" where it is gone already."""

    address: str = ""
    port: int = 0
    our_address: str = ""
    our_port: int = 0

    @classmethod
    def of(cls, theirs: Any, ours: Any) -> "Peer":
        """Take the names of two sockets as Python gives them."""
        return cls(*theirs[:2], *ours[:2]) if theirs and ours else cls()

    async def is_our_user(self) -> bool:
        """Whether the socket at the other end, on this host, belongs to the user that we run as.

        Where there is no list of sockets, as beside Linux, everybody on this host is taken for it.
        """
        if sys.platform != "linux":
            return True
        users = await asyncio.to_thread(self._users)
        return users == {os.geteuid()} and _NOBODY not in users

    def _users(self) -> set[int]:
        return {user for rows in _LISTS for user in self.users(_read(rows))}

    def users(self, rows: str) -> Iterator[int]:
        """Find in a list of sockets whose the one at the other end is."""
        ports = (f":{self.port:04X}", f":{self.our_port:04X}")
        for line in rows.splitlines():
            if ports[0] not in line:
                continue  # of tens of thousands, on a busy host
            row = line.split()
            if len(row) <= _USER or row[_STATE] != _OPEN or not row[_USER].isdecimal():
                continue
            ends = row[_OURS], row[_THEIRS]  # as that socket sees them
            if all(map(str.endswith, ends, ports)) and self._is_between(*ends):
                yield int(row[_USER])

    def _is_between(self, theirs: str, ours: str) -> bool:
        told = (self.address, self.our_address)
        return all(
            (found := _listed(one)) is not None and found == _known(name)
            for one, name in zip((theirs, ours), told, strict=True)
        )


def _read(rows: Path) -> str:
    try:
        return rows.read_text("ascii")
    except (OSError, ValueError):  # such as a host without IPv6
        return ""


def _listed(end: str) -> _Address | None:
    """Read an address of a row, such as 0100007F:1F90."""
    digits = end.partition(":")[0]
    words = [digits[place : place + _WORD] for place in range(0, len(digits), _WORD)]
    try:
        raw = b"".join(int(word, 16).to_bytes(_WORD // 2, sys.byteorder) for word in words)
        return _plain(ip_address(raw))
    except (ValueError, OverflowError):
        return None


def _known(name: str) -> _Address | None:
    try:
        return _plain(ip_address(name))
    except ValueError:
        return None


def _plain(address: _Address) -> _Address:
    return getattr(address, "ipv4_mapped", None) or address
