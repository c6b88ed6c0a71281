"""Queue, its border: errors of redis-py become ours.

Around every command stands `translated()`. The table here is the only place that knows what
redis-py raises and what the server's words mean.
"""

from contextvars import ContextVar
from itertools import chain
from types import TracebackType
from typing import Any, TypeAlias

from redis import exceptions as foreign
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from caption_flow.errors import CaptionFlowError, QueueFull, QueueUnfit, QueueUnreachable

known_host: ContextVar[str] = ContextVar("known_host", default="Redis")  # set by connect()


class GroupGone(CaptionFlowError):
    """A stream or its group is no more, as after a flush: make it again, check the books."""


_Kinds: TypeAlias = type[Exception] | tuple[type[Exception], ...]
_Ours: TypeAlias = type[CaptionFlowError]

_LATER = "It may come back by itself."
# The first line that fits holds, so a kind stands above the kinds it derives from.
_BY_KIND: tuple[tuple[_Kinds, _Ours, str], ...] = (
    (
        foreign.OutOfMemoryError,
        QueueFull,
        "{host} has no memory left. It has some again when captions leave; a larger maxmemory or "
        "a smaller budget of the job avoids this.",
    ),
    (
        foreign.AuthenticationError,
        QueueUnfit,
        "{host} refuses our user or password. Correct them in `redis`: "
        "redis://USER:PASSWORD@HOST:PORT.",
    ),
    (
        (foreign.NoPermissionError, foreign.AuthorizationError),
        QueueUnfit,
        "{host} forbids our user a command or key. Grant it, as in: "
        'ACL SETUSER NAME "~cf:*" +@all -@dangerous +info.',
    ),
    (
        foreign.ReadOnlyError,
        QueueUnreachable,
        "{host} is a replica, perhaps after a failover, and refuses writes. " + _LATER,
    ),
    (
        foreign.MasterDownError,
        QueueUnreachable,
        "{host} is a replica that has lost its primary. " + _LATER,
    ),
    (
        foreign.ClusterDownError,
        QueueUnreachable,
        "The cluster of {host} is not whole: a master without a replica is gone, or no node serves "
        "some slots (redis-cli --cluster check tells). " + _LATER,
    ),
    (
        foreign.TryAgainError,
        QueueUnreachable,
        "{host} is handing keys of this job over to another node of its cluster. " + _LATER,
    ),
    (
        foreign.AskError,
        QueueUnreachable,
        "The nodes of the cluster of {host} do not agree yet which of them has this job. " + _LATER,
    ),
    (
        foreign.InvalidResponse,
        QueueUnfit,
        "{host} answers, but is no Redis. Check host and port in `redis`.",
    ),
    (foreign.BusyLoadingError, QueueUnreachable, "{host} still loads its data. " + _LATER),
    (
        (foreign.TimeoutError, TimeoutError),
        QueueUnreachable,
        "{host} did not answer in time. " + _LATER,
    ),
    (
        (foreign.ConnectionError, OSError),
        QueueUnreachable,
        "No answer from {host}. Is it up, and `redis` right?",
    ),
)
# Answers that redis-py has no kind for, by their first words.
_BY_OPENING: tuple[tuple[str, _Ours, str], ...] = (
    ("NOGROUP", GroupGone, "{host} lost a stream or group of this job."),
    ("no such key", GroupGone, "{host} lost a stream of this job."),
    ("UNBLOCKED the stream key", GroupGone, "{host} lost a stream of this job."),
    ("UNBLOCKED", QueueUnreachable, "{host} became a replica while we waited. " + _LATER),
    ("BUSY", QueueUnreachable, "{host} is busy with a long script. " + _LATER),
    ("NOREPLICAS", QueueUnreachable, "{host} misses replicas that must be there. " + _LATER),
    (
        "MISCONF",
        QueueUnreachable,
        "{host} refuses writes since it cannot save to its disk. Free space there.",
    ),
    (
        "WRONGTYPE",
        QueueUnfit,
        "{host} holds a key of this job's name that is not ours. Use another name or server.",
    ),
    (
        "SELECT is not allowed in cluster mode",
        QueueUnfit,
        "{host} is a node of a Redis Cluster, which has only the database 0. Leave the number at "
        "the end of `redis` out.",
    ),
    (
        "This instance has cluster support disabled",
        QueueUnfit,
        "{host} is no node of a Redis Cluster: name it alone in `redis`.",
    ),
    (
        "DB index",
        QueueUnfit,
        "{host} has no database of that number. Correct the end of `redis`.",
    ),
)


def translation(error: Exception, host: str = "") -> CaptionFlowError | None:
    """Say an error of redis-py in our words; None where a programmer must see it as it is.

    For errors that came as answers; around commands stands `translated`, for pipelines `answers`.
    """
    text = _bare(error)
    by_kind = ((ours, said) for kinds, ours, said in _BY_KIND if isinstance(error, kinds))
    by_opening = (
        (ours, said)
        for opening, ours, said in _BY_OPENING
        if type(error) is foreign.ResponseError and text.startswith(opening)
    )
    for ours, sentence in chain(by_kind, by_opening):
        return ours(sentence.format(host=host or known_host.get()))
    return None


def _bare(error: Exception) -> str:
    """Give the server's words alone; and leave no others in the error, for logs show it.

    redis-py quotes the command of a pipeline and the server that of an unknown command: both
    may hold a piece of an image or a token.
    """
    text = str(error).partition(", with args beginning with")[0]
    _, quoted, reply = text.partition(" of pipeline caused error: ")
    if quoted:
        text = reply.strip("()'\",")
    if isinstance(error, foreign.ResponseError):
        error.args = (text,)
    return text


def _is_closed_by_uvloop(error: BaseException | None) -> bool:
    """Whether a write found its connection closed just then, for which uvloop has a word apart."""
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


class _Border:
    """A context in which errors of redis-py become ours, the cause kept."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if _is_closed_by_uvloop(error):
            error = ConnectionError(str(error))
        if isinstance(error, foreign.RedisError | OSError):
            ours = translation(error, self._host)
            if ours is not None:
                raise ours from error


def translated(host: str = "") -> _Border:
    """Stand around commands: `with translated(): await client.xack(…)`.

    Sentences name `host`, or else the server that this task or its parents connected to.
    """
    return _Border(host)


async def answers(pipe: Pipeline) -> list[Any]:
    """Execute a pipeline; its first error is raised in our words.

    redis-py's own way of raising spells out the failed command before it cuts it short, which
    holds the loop for 25 ms per 64 KB of payload, and before 7.1 it drops the server's words.
    """
    with translated():
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    return replies


def host_of(client: Redis) -> str:
    """Name the server of a client, for sentences: host and port, or path of the socket."""
    where = client.connection_pool.connection_kwargs
    return str(where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")
