"""Images, and byte ranges of archives, over HTTP.

URLs come from strangers and lead to strangers, so everything has a limit: addresses, redirects,
bytes, seconds, tries. Feeders fetch from threads with BlockingClient, workers on their event loop
with Client. What cannot be fetched is a FetchFailed with a reason that stays the same from
release to release.
"""

from caption_flow.fetch.blocking import BlockingClient
from caption_flow.fetch.client import Client
from caption_flow.fetch.failures import FetchFailed
from caption_flow.fetch.limits import DownloadLimits, Fetched, Request
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
