"""Web: a site on a socket, asked as a browser asks."""

import asyncio
import http.client
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.web.apart import apart
from caption_flow.web.http import listening
from caption_flow.web.site import SAFE, Answer, Asked, Site, told


async def _echo(asked: Asked) -> Answer:
    return told({"path": asked.path, "query": asked.query, "agent": asked.headers["user-agent"]})


async def _away(_: Asked) -> Answer:
    raise QueueUnreachable("No answer from Redis.")


async def _broken(_: Asked) -> Answer:
    raise ZeroDivisionError


@pytest.fixture
async def port() -> AsyncIterator[int]:
    site = Site({"/echo": _echo, "/all/": _echo, "/away": _away, "/broken": _broken})
    async with listening(site, "127.0.0.1", 0) as port:
        yield port


async def get(port: int, target: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    def ask() -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, target, headers={"User-Agent": "tests"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    return await asyncio.to_thread(ask)


async def test_page_is_told_what_was_asked(port: int):
    status, headers, body = await get(port, "/echo?search=a%20b&empty=")

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert body == b'{"path":"/echo","query":{"search":"a b","empty":""},"agent":"tests"}'


async def test_page_has_all_below_it(port: int):
    assert (await get(port, "/all/x/y%2Fz"))[2].startswith(b'{"path":"/all/x/y/z"')


def test_connection_that_asks_nothing_does_not_hold_up_the_end():
    with apart(Site({"/echo": _echo}), "127.0.0.1", 0) as port:
        idle = socket.create_connection(("127.0.0.1", port))
        asyncio.run(get(port, "/echo"))  # so that the one before has been let in
        began = time.monotonic()
    took = time.monotonic() - began

    assert took < 5  # and not the 10 s that it has to ask
    idle.close()


async def test_root_has_nothing_below_it():
    site = Site({"/": _echo})
    assert site.page("/") is _echo
    assert site.page("/below") is None


async def test_every_answer_keeps_browsers_in_check(port: int):
    for target in ("/echo", "/nowhere", "/broken"):
        _, headers, _ = await get(port, target)
        assert {name: headers[name] for name in SAFE} == dict(SAFE)


@pytest.mark.parametrize("target", ["/", "/nowhere", "/ech", "/echo/more", "//"])
async def test_there_is_no_other_page(port: int, target: str):
    assert (await get(port, target))[0] == 404


async def test_page_that_cannot_be_made_says_why(port: int):
    assert (await get(port, "/away"))[::2] == (503, b"No answer from Redis.\n")


async def test_page_that_fails_says_no_more(port: int, caplog: pytest.LogCaptureFixture):
    status, _, body = await get(port, "/broken")

    assert status == 500
    assert b"ZeroDivision" not in body
    assert "The page /broken has failed" in caplog.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"])
async def test_one_can_only_look(port: int, method: str):
    status, headers, _ = await get(port, "/echo", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


async def test_head_of_an_answer_may_be_asked_for_alone(port: int):
    whole, head = await get(port, "/echo"), await get(port, "/echo", "HEAD")
    assert (head[0], head[2]) == (200, b"")
    assert head[1]["Content-Length"] == whole[1]["Content-Length"] == str(len(whole[2]))
