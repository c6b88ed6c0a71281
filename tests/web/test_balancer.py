"""The page in a real browser, where each of its requests comes to another proxy."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path

from caption_flow.dataset.pixels import Pixels
from caption_flow.queue.connect import Connections
from tests.made import folder_source, pictures
from tests.proxy.house import house, publish
from tests.roles import Roles, brisk, roles
from tests.talking import talking
from tests.web.browser import browser

__all__ = ["brisk", "roles"]

TILES = "document.querySelectorAll('.tile').length"
DRAWN = "[...document.querySelectorAll('.tile img')].filter((one) => one.naturalWidth).length"


@asynccontextmanager
async def balancer(ports: Sequence[int]) -> AsyncIterator[int]:
    """Pass each connection on to the next of several ports."""
    turn = cycle(ports)

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 16):
                    writer.write(data)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection("127.0.0.1", next(turn))
        await asyncio.gather(pour(reader, outside), pour(inside, writer))

    async with talking(serve) as port:
        yield port


async def test_page_goes_on_with_what_any_proxy_tells(
    connections: Connections, roles: Roles, tmp_path: Path
):
    root = pictures(tmp_path / "pictures", range(8))
    await publish(roles)
    read = Pixels(lambda: folder_source(root)).of
    async with (
        house(connections, roles, read=read) as one,
        house(connections, roles, read=read) as other,
        balancer([one.port, other.port]) as port,
        browser(tmp_path / "browser") as tab,
    ):
        await roles.finish(range(4))
        await tab.open(f"http://localhost:{port}/")
        await tab.until(f"{TILES} === 4 && {DRAWN} === 4")
        await tab.do("document.querySelectorAll('.tile').forEach((one) => { one.known = true; })")
        for number in range(4, 8):
            await roles.finish([number])
            await tab.until(f"{TILES} === {number + 1} && {DRAWN} === {number + 1}")

        told = "[...document.querySelectorAll('.tile')].filter((one) => one.known).length"
        assert await tab.do(told) == 4
        assert tab.errors == []
