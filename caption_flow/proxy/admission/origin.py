"""Proxy: where a request comes from. Limits are kept for the address that is found here."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_MOST_HOPS = 32  # looked at, from our end
_PREFIX = 64  # bits of IPv6 that one household or machine has to itself

_Address = IPv4Address | IPv6Address


class Origins:
    """Tells who asks, through the load balancers that are believed."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted = [ip_network(text.strip()) for text in trusted]

    def of(self, peer: str, forwarded: Iterable[str]) -> str:
        """Name who asks: an IPv4 address, or the network of an IPv6 one.

        `forwarded`: the lines of X-Forwarded-For. The last hop that is not believed is who asks;
        what stands before it anybody may have written.
        """
        found = _address(peer)
        if found is None:
            return ""
        for hop in _hops(forwarded):
            if not self._believes(found) or (before := _address(hop)) is None:
                break
            found = before
        return _spelt(found)

    def _believes(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _hops(forwarded: Iterable[str]) -> Iterator[str]:
    hops = ",".join(forwarded).rsplit(",", _MOST_HOPS)
    return reversed(hops[-_MOST_HOPS:])


def _address(text: str) -> _Address | None:
    """Read an address; some balancers write a port behind it."""
    bare = text.strip().partition("%")[0]
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _spelt(address: _Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, _PREFIX), strict=False))
