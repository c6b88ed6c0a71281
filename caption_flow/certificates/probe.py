"""Certificates, asked for: what a server shows and speaks, looked at once a connection has failed.

OpenSSL tells that a certificate is refused and not what it is. So it is fetched again by a
connection of its own that believes anybody, says nothing and is closed at once.
"""

import socket
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from caption_flow.certificates.contexts import client_context

Place: TypeAlias = tuple[str, int]  # host, port

_SECONDS = 5.0
_PORTS = {"ws": 80, "wss": 443}


def place_of(url: str) -> tuple[bool, Place] | None:
    """Read whether a URL is for TLS, and where it leads; None: nowhere."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme == "wss", (host, port)) if host else None


def spelled_place(place: Place) -> str:
    """Spell a place as URLs do."""
    host, port = place
    try:
        return f"[{host}]:{port}" if ip_address(host).version == 6 else f"{host}:{port}"  # noqa: PLR2004
    except ValueError:
        return f"{host}:{port}"


def certificate_at(place: Place) -> bytes | None:
    """Fetch the certificate that is shown there, in DER; None: no TLS is spoken."""
    context = client_context(verify_ssl=False)
    try:
        with (
            socket.create_connection(place, timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=place[0]) as connection,
        ):
            return connection.getpeercert(binary_form=True)
    except (OSError, ValueError):  # those of TLS too; a name that cannot be one
        return None


def plain_at(place: Place) -> bool:
    """Whether HTTP without TLS is spoken there."""
    try:
        with socket.create_connection(place, timeout=_SECONDS) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: caption-flow\r\nConnection: close\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False
