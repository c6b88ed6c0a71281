"""Queue, the way in: connections to Redis.

Every role opens its `Connections` here and asks `check_server` once before it works. Around
each command stands `translated()`, where errors of redis-py become ours.
"""

import re
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from caption_flow.errors import ConfigError
from caption_flow.queue.border import (
    GroupGone,
    answers,
    host_of,
    known_host,
    translated,
    translation,
)
from caption_flow.queue.fitness import ServerFacts, check_server
from caption_flow.queue.nodes import Opener, seeds_of
from caption_flow.queue.routing import RoutedClient
from caption_flow.queue.server import Server

__all__ = [
    "BLOCK_MS",
    "Connections",
    "GroupGone",
    "ServerFacts",
    "answers",
    "check_server",
    "connect",
    "redact",
    "translated",
    "translation",
]

# The longest BLOCK of any command. A stop waits for it at most, and so does what was handed back.
BLOCK_MS = 300

_COMMAND_TIMEOUT = 10.0  # seconds for what is sent together, and all its answers
_CONNECT_TIMEOUT = 5.0  # seconds
_MAX_CONNECTIONS = 1_000  # of each client; opened only as commands overlap
# redis-py reads 32 KiB at a time. Reading images by 256 KiB takes a third of the CPU off at
# 256 KiB an image and a fifth at 64 KiB; larger reads win nothing. There is no packer to
# choose: the asyncio client always packs in Python, without copying large values, and is
# a quarter faster so than through hiredis, which parses the answers only.
_READ_SIZE = 256 * 1024

_TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"}
)


class Connections:
    """The two clients of a process: one for commands, one for readers that block.

    Neither repeats a command by itself: the answer that got lost may stand for work done.
    """

    def __init__(self, commands: Redis, blocking: Redis, *, url: str, role: str) -> None:
        self.commands = commands
        self.blocking = blocking  # for BLOCK up to BLOCK_MS
        self.host = host_of(commands)
        self._url = url
        self._role = role

    def another(self) -> "Connections":
        """Connect to the same server once more, for another event loop."""
        return connect(self._url, role=self._role)

    async def close(self) -> None:
        """Close every connection of both clients."""
        await self.blocking.aclose()
        await self.commands.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def connect(url: str, *, role: str, most: int | None = None) -> Connections:
    """Make the clients of a process; nothing is sent before the first command.

    `url`: of a server, or of a node of a Redis Cluster, or of several with commas between them.

    `most`: connections for commands, where more commands than that may overlap: they take turns.
    """
    seeds = seeds_of(url)
    parts = [_checked(seed) for seed in seeds]
    if len(seeds) > 1 and any(map(_database, parts)):
        raise ConfigError(
            f'redis: "{redact(url)}" names several nodes of a Redis Cluster, which has only the '
            "database 0; leave the number out"
        )
    options: dict[str, Any] = {
        "client_name": f"caption-flow:{role}",
        "decode_responses": False,
        "protocol": 2,  # one shape of answers with every release of redis-py
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
        "socket_timeout": None,  # see Server
        "socket_connect_timeout": _CONNECT_TIMEOUT,
        "socket_read_size": _READ_SIZE,
        "max_connections": _MAX_CONNECTIONS,
    }
    if parts[0].scheme != "unix":
        # Finds peers that are silently gone; a PING before commands would find them no sooner.
        options["socket_keepalive"] = True
    commands = _opener(_COMMAND_TIMEOUT, most, options)
    blocking = _opener(BLOCK_MS / 1000 + _COMMAND_TIMEOUT, None, options)
    connections = Connections(
        RoutedClient(seeds, commands), RoutedClient(seeds, blocking), url=url, role=role
    )
    known_host.set(connections.host)
    return connections


def _opener(patience: float, most: int | None, options: dict[str, Any]) -> Opener:
    """Make what makes clients of one server each."""

    def opened(url: str) -> Server:
        if most is None:
            return Server(ConnectionPool.from_url(url, **options), patience=patience)
        turns = {"max_connections": most, "timeout": patience}
        pool = BlockingConnectionPool.from_url(url, **options | turns)
        return Server(pool, patience=2 * patience)  # and as long for its turn

    return opened


def redact(url: str) -> str:
    """Give the URL without its password, also where the URL is malformed."""
    hidden = re.sub(r"(?i)([?&]password=)[^&]*", r"\1***", url)
    found = re.fullmatch(r"(?s)(\w*://)?+(?!/)([^:@]*:)?.*@([^@]*)", hidden)
    return "{}{}***@{}".format(*found.groups("")) if found else hidden


def _checked(url: str) -> SplitResult:
    """Take the URL apart, or say what is wrong with it."""
    try:
        parts = urlsplit(url)
        mistake = _mistake(parts)
    except ValueError:  # its text may quote a piece of the password
        mistake = "is no URL; percent-encode special characters of the password"
    if mistake:
        raise ConfigError(f'redis: "{redact(url)}" {mistake}')
    return parts


def _mistake(parts: SplitResult) -> str:
    """Say what redis-py would take amiss or, worse, pass over; empty when all is well."""
    unix = parts.scheme == "unix"
    checks = (
        (
            parts.scheme not in {"redis", "rediss", "unix"},
            "must begin with redis://, rediss:// or unix://",
        ),
        (parts.fragment, 'has a "#"; in a password, write it %23'),
        (
            "@" in parts.query or ("@" in parts.path and not unix),
            'has a "/" or "?" before its "@"; in a password, write them %2F and %3F',
        ),
        (
            unix and (parts.hostname or not parts.path.strip("/")),
            "must name a socket by its whole path, as in unix:///run/redis.sock",
        ),
        (
            not unix and not parts.hostname,
            "names no host; write for example redis://localhost:6379",
        ),
        (
            not unix and not re.fullmatch(r"/?\d*", parts.path),
            "must end with the number of a database, or nothing, after the host",
        ),
    )
    return next((said for wrong, said in checks if wrong), "") or _mistaken_option(parts)


def _database(parts: SplitResult) -> int:
    told = dict(parse_qsl(parts.query)).get("db") or parts.path.strip("/")
    return int(told or 0)


def _mistaken_option(parts: SplitResult) -> str:
    _ = parts.port  # raises where it is no number
    allowed = {"db", *_TLS_OPTIONS} if parts.scheme == "rediss" else {"db"}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            return f'has the option "{name}"; it may have: {", ".join(sorted(allowed))}'
        if name == "db" and not value.isdigit():
            return "must have a number as db"
    return ""
