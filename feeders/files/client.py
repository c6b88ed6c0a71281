"""The HTTP client of a data set's files; its connections end with the last of those who use it."""

import threading
import weakref
from collections.abc import Callable

from caption_flow.dataset.source import SourceOptions
from caption_flow.fetch import BlockingClient


def open_client(
    owner: object, options: SourceOptions, headers: Callable[[str], dict[str, str]] | None = None
) -> BlockingClient:
    """Open a client that is closed when its owner is gone; `headers` must not hold the owner."""
    client = BlockingClient(options.download, options.allow_networks, headers)
    # An owner may be let go of in any thread, even in the one that would have to do the closing.
    end = weakref.finalize(owner, _close_elsewhere, client)
    end.atexit = False
    return client


def _close_elsewhere(client: BlockingClient) -> None:
    threading.Thread(target=client.close, name="caption-flow-close", daemon=True).start()
