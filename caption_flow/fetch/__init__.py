"""Images, and byte ranges of archives, over HTTP.

URLs come from strangers and lead to strangers, so everything has a limit: addresses, redirects,
bytes, seconds, tries. Feeders fetch from threads with BlockingClient, workers on their event loop
with Client. What cannot be fetched is a FetchFailed with a reason that stays the same from
release to release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caption_flow.fetch.failures import FetchFailed
from caption_flow.fetch.limits import DownloadLimits, Fetched, Request

if TYPE_CHECKING:
    from caption_flow.fetch.blocking import BlockingClient
    from caption_flow.fetch.client import Client
    from caption_flow.fetch.resolver import Resolver

__all__ = [
    "BlockingClient",
    "Client",
    "DownloadLimits",
    "FetchFailed",
    "Fetched",
    "Request",
    "Resolver",
]

_LATER = {"BlockingClient": "blocking", "Client": "client", "Resolver": "resolver"}


def __getattr__(name: str) -> Any:
    """Import what connects only where something is fetched: it takes a tenth of a second."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
