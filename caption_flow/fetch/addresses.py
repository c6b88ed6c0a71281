"""Fetch: which addresses may be connected to. URLs come from strangers, who may mean our network.

All that is not plainly of the public internet is refused, but for the networks that the
configuration allows. The list is our own: what `ipaddress` calls global differs by its version.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from caption_flow.errors import ConfigError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
# Each holds an IPv4 address, which a gateway would connect to, this many bits from its end.
_EMBEDDING = ((IPv6Network("64:ff9b::/96"), 0), (IPv6Network("2002::/16"), 80))


class Guard:
    """Tells whether an address may be connected to."""

    def __init__(self, allow_networks: Iterable[str] = ()) -> None:
        self._allowed = tuple(_network(text) for text in allow_networks)

    def admits(self, address: Address) -> bool:
        """Whether it is public, or in a network that is allowed."""
        return _public(address) or any(address in network for network in self._allowed)


def plain(text: str) -> Address:
    """Read an address; an IPv4 one in IPv6 spelling is the IPv4 one."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    for network, shift in _EMBEDDING:
        if address in network:
            return _public(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip())
    except ValueError as exc:
        raise ConfigError(
            f'allow_networks: "{text}" is no network ({exc}). '
            'Write one like "10.1.0.0/16", or a single address like "10.1.2.3".'
        ) from exc
