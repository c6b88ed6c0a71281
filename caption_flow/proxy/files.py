"""Proxy: as many open files as it may have connections. Many systems begin with 1,024."""

import logging
from contextlib import suppress

logger = logging.getLogger(__name__)

_OTHERS = 200  # files: of Redis, of Python, and of those who are turned away


def allow(connections: int) -> None:
    """Let the process have so many connections, as far as the system does."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHERS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft != resource.RLIM_INFINITY:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        logger.warning(
            "This process may have %d files, too few for %d connections: see ulimit -n",
            *(most, connections),
        )
