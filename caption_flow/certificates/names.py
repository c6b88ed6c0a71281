"""Certificates, whom they are for: names of hosts and addresses, as certificates spell them."""

import re
from ipaddress import ip_address

from caption_flow.errors import ConfigError

LOCALHOST = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")

_LONGEST = 253  # characters of a whole name
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_DIGITS = re.compile(r"\d+|0x[0-9a-f]*")
# Domains that no public authority signs for: RFC 6761, 6762, 7686, 8375, and ICANN's .internal.
_PRIVATE = re.compile(
    r"(.*\.)?(localhost|local|internal|test|example|invalid|onion|home\.arpa|lan)"
)


def checked(text: str) -> str:
    """Spell a name or an address the one way that certificates do; raises ConfigError."""
    given = text.strip().removesuffix(".")
    if (address := _address(given)) is not None:
        return address
    wild = given.startswith("*.")
    name = _ascii(text, given.removeprefix("*."))
    labels = name.split(".")
    if len(name) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        raise _wrong(text, "is no name of a host")
    if _DIGITS.fullmatch(labels[-1]):
        raise _wrong(text, "is neither a name nor an address")
    if wild and len(labels) == 1:
        raise _wrong(text, "would be for all names there are")
    return f"*.{name}" if wild else name


def all_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Spell several, each once; `localhost` stands for the addresses of this host as well."""
    found: dict[str, None] = {}
    for name in map(checked, texts):
        found[name] = None
        found.update(dict.fromkeys(_LOOPBACK if name == LOCALHOST else ()))
    return tuple(found)


def unpublic(name: str) -> str:
    """Say why a public authority signs nothing for this name; empty: it may."""
    if _address(name) is not None:
        return "is an address"
    if name.startswith("*."):
        return "is for many hosts, which Let's Encrypt asks to be proven by DNS"
    if "." not in name or _PRIVATE.fullmatch(name):
        return "is no public name"
    return "has an underscore" if "_" in name else ""


def _address(text: str) -> str | None:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if getattr(address, "scope_id", None):
        raise _wrong(text, "names a network interface of one host")
    return str(address)


def _ascii(text: str, name: str) -> str:
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise _wrong(text, "is no name of a host") from exc


def _wrong(text: str, fault: str) -> ConfigError:
    shown = "".join(mark if mark.isprintable() else "\ufffd" for mark in text[:_LONGEST])
    return ConfigError(
        f'"{shown}" {fault}. Give a name like project.example.org or *.example.org, or an '
        "address like 192.0.2.7, without scheme, port and path."
    )
