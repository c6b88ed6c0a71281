"""Web: a site served from a thread of its own, so that it answers whatever else is done here."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from caption_flow.web.http import listening
from caption_flow.web.site import Site


@contextmanager
def apart(site: Site, host: str, port: int) -> Iterator[int]:
    """Show a site for as long as this lasts; gives the port. ConfigError where there is none."""
    serving: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()

    async def serve() -> None:
        over = asyncio.Event()
        async with listening(site, host, port) as taken:
            serving.set_result((asyncio.get_running_loop(), over, taken))
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as exc:
            if serving.done():
                raise
            serving.set_exception(exc)

    thread = Thread(target=run, name="site", daemon=True)
    thread.start()
    loop, over, taken = serving.result()
    try:
        yield taken
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
