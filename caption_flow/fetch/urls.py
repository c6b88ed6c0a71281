"""Fetch: URLs taken apart once, so that what is checked is what is connected to."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from msgspec import Struct

from caption_flow.fetch.failures import BAD_REDIRECT, BAD_URL, FetchFailed

_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192  # characters
_LONGEST_HOST = 253
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AS_IT_IS = "%/:@!$&'()*+,;=?[]~"  # what quote() leaves alone, beside letters and digits


class Url(Struct, frozen=True):
    """An http or https URL, in the parts a request needs."""

    scheme: str
    host: str  # a name in ASCII, or an address, without brackets
    port: int
    target: str  # path and query, in ASCII

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart; a bad one is a FetchFailed."""
        text = text.strip(" ")
        if len(text) > _LONGEST or _CONTROL.search(text):
            raise _bad("it is too long, or has control characters")
        try:
            parts = urlsplit(text)
            port = parts.port
            host = _host(parts)
        except ValueError as exc:
            raise _bad(f"it cannot be taken apart ({exc})") from exc
        if parts.scheme not in _PORTS:
            raise _bad(f'its scheme is "{parts.scheme}"; only http and https are fetched')
        return cls(
            parts.scheme, host, _PORTS[parts.scheme] if port is None else port, _target(parts)
        )

    @property
    def authority(self) -> str:
        """Host and port, as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom a secret may be shown to."""
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def follow(self, location: str) -> "Url":
        """Find where a redirect leads from here."""
        try:
            return Url.parse(urljoin(str(self), location.strip(" ")))
        except (FetchFailed, ValueError) as exc:
            why = exc.detail if isinstance(exc, FetchFailed) else str(exc)
            raise FetchFailed(BAD_REDIRECT, f"{self.host} redirects to a bad URL: {why}") from exc


def _host(parts: SplitResult) -> str:
    if "@" in parts.netloc:
        raise _bad("it holds a user or a password; give those as a header")
    if parts.port == 0:
        raise _bad("its port is 0")
    host = (parts.hostname or "").removesuffix(".")
    if parts.netloc.startswith("["):
        return _address(host)
    if not host.isascii():
        host = host.encode("idna").decode("ascii").lower()
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise _bad("it has no host, or one that cannot be a name")
    return host


def _address(host: str) -> str:
    try:
        address = IPv6Address(host)
    except AddressValueError as exc:
        raise _bad(f"its host is no IPv6 address ({exc})") from exc
    if address.scope_id:
        raise _bad("its address names a network interface of this machine")
    return str(address)


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_AS_IT_IS, errors="replace")
    query = quote(parts.query, safe=_AS_IT_IS, errors="replace")
    return f"{path}?{query}" if query else path


def _bad(why: str) -> FetchFailed:
    return FetchFailed(BAD_URL, f"the URL is refused: {why}")
