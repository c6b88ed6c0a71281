"""Web: whether a request asks for this host, and not a page of somebody else for its own ends.

A page of somebody else, in a browser on this host, may have given its own name our address: so this
host must be asked for by a name that needs no name server. What page asks, the browser says.
"""

from ipaddress import ip_address

_OURS = frozenset({"", "none", "same-origin"})  # of Sec-Fetch-Site


def asks_for_here(host: str, site: str) -> bool:
    """Tell by the headers Host and Sec-Fetch-Site; empty where there is none."""
    host = host.strip()
    bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return (bare.lower() == "localhost" or is_loopback(bare)) and site in _OURS


def is_loopback(address: str) -> bool:
    """Whether an address is this host's own; no name is one."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
