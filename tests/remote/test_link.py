"""The link: what is refused is said in a sentence, answers find who asked, and an end is quick."""

import asyncio
import logging
import socket
import time

import pytest

from caption_flow.errors import (
    Misunderstanding,
    QueueFull,
    QueueUnfit,
    QueueUnreachable,
    ServerUnfit,
)
from caption_flow.model import Counts
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.job import RemoteJob
from caption_flow.remote.link import Link
from caption_flow.remote.work import RemoteWorkQueue
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    Counted,
    CountsWanted,
    Did,
    Refused,
    Welcome,
)
from tests.remote.conftest import entrance_to, until_failed
from tests.remote.stub import StubProxy
from tests.remote.test_work import claimed
from tests.roles import until


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, ServerUnfit, "does not accept the token"),
        (403, ServerUnfit, "but not for this"),
        (426, ServerUnfit, "another version"),
        (400, Misunderstanding, "does not understand"),
    ],
)
async def test_final_refusal_ends_the_link_with_a_sentence(
    stub: StubProxy, status: int, kind: type[Exception], words: str
):
    stub.refuse(status, "because of\x1b[2J reasons")
    async with Link(entrance_to(stub)) as link:
        failure = await until_failed(link)
        with pytest.raises(kind, match=words):
            await RemoteJob(link).counts()

    assert isinstance(failure, kind)
    assert "It says: because of [2J reasons" in str(failure)
    assert "cf_secret" not in str(failure)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
async def test_passing_refusal_is_waited_out(stub: StubProxy, status: int):
    stub.refuse(status, "wait")
    async with Link(entrance_to(stub)) as link:
        await until(lambda: len(stub.headers) > 2)
        stub.refusal = None
        await stub.visit()

        assert link.failure is None


async def test_wait_that_a_proxy_asks_for_is_kept(stub: StubProxy):
    stub.refuse(429, "too often", Retry_After="1")
    began = time.monotonic()
    async with Link(entrance_to(stub)):
        await until(lambda: stub.headers)
        stub.refusal = None
        await stub.visit()

    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Close.UNAUTHORIZED, ServerUnfit),
        (Close.FORBIDDEN, ServerUnfit),
        (Close.MALFORMED, Misunderstanding),
        (Close.LARGE, Misunderstanding),
    ],
)
async def test_final_close_ends_the_link(
    stub: StubProxy, link: Link, code: Close, kind: type[Exception]
):
    await (await stub.visit()).wire.close(code, "the reason")

    failure = await until_failed(link)

    assert isinstance(failure, kind)
    assert "the reason" in str(failure)


@pytest.mark.parametrize("code", [1000, Close.GOING, Close.LATE, Close.DISORDER, Close.EXCESS])
async def test_other_close_is_come_back_from(stub: StubProxy, link: Link, code: int):
    await (await stub.visit()).wire.close(code)

    await stub.visit(1)

    assert link.failure is None


@pytest.mark.parametrize(
    "message",
    [
        "text",
        b"",
        b"\0\0\0\1",
        b"\0\0\0\1\xff",
        b"\xff\xff\xff\xff" * 4,
    ],
)
async def test_proxy_that_makes_no_sense_ends_the_link(
    stub: StubProxy, link: Link, message: bytes | str
):
    visit = await stub.visit()
    await visit.wire.send(message)

    assert isinstance(await until_failed(link), Misunderstanding)
    await visit.wire.wait_closed()
    assert visit.wire.close_code == Close.MALFORMED


async def test_answer_of_another_kind_ends_the_link(stub: StubProxy, link: Link):
    asking = asyncio.create_task(RemoteJob(link).counts())
    visit = await stub.visit()
    await visit.send(Did((await visit.next(CountsWanted)).id))

    with pytest.raises(Misunderstanding):
        await asking


async def test_second_welcome_ends_the_link(stub: StubProxy, link: Link):
    visit = await stub.visit()
    await visit.send(Welcome(ticket="more", **stub.welcome))

    assert isinstance(await until_failed(link), Misunderstanding)


async def test_refused_request_is_an_error_of_its_kind(stub: StubProxy, link: Link):
    visit = await stub.visit()
    kinds = {"full": QueueFull, "unreachable": QueueUnreachable}
    for word, kind in kinds.items():
        asking = asyncio.create_task(RemoteJob(link).counts())
        await visit.send(Refused((await visit.next(CountsWanted)).id, word, "no room"))
        with pytest.raises(kind, match="no room"):
            await asking


async def test_channel_that_could_not_be_opened_is_opened_a_moment_later(
    stub: StubProxy, link: Link
):
    visit = await stub.visit()
    visit.opens = False
    queue = RemoteWorkQueue(link)
    await queue.serve(["caption"], lease_seconds=60.0)
    await until(lambda: visit.serves)
    visit.opens = True
    await visit.send(Refused(visit.serves[0].id, "unreachable", "a moment"))

    await claimed(stub, queue, 0)


async def test_channel_that_may_not_be_opened_says_why(stub: StubProxy, link: Link):
    visit = await stub.visit()
    visit.opens = False
    queue = RemoteWorkQueue(link)
    await queue.serve(["caption"], lease_seconds=60.0)
    await until(lambda: visit.serves)
    await visit.send(Refused(visit.serves[0].id, "unfit", "not for you"))

    with pytest.raises(QueueUnfit, match="not for you"):
        await until(lambda: queue.claim(1))


async def test_answers_come_in_any_order(stub: StubProxy, link: Link):
    visit = await stub.visit()
    asking = [asyncio.create_task(RemoteJob(link).counts()) for _ in range(3)]
    ids = [(await visit.next(CountsWanted)).id for _ in asking]
    for n, id_ in reversed(list(enumerate(ids))):
        await visit.send(Counted(id_, Counts(planned=n)))

    assert [(await one).planned for one in asking] == [0, 1, 2]
    assert ids == sorted(set(ids))


async def test_token_is_in_no_log(stub: StubProxy, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        async with Link(entrance_to(stub)):
            await stub.visit()
        stub.refuse(401)
        async with Link(entrance_to(stub)) as link:
            await until_failed(link)

    ours = [one.getMessage() for one in caplog.records if one.name != "websockets.server"]
    assert "cf_secret" not in "\n".join(ours)


async def test_who_ends_does_not_wait_for_a_server_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"ws://127.0.0.1:{mute.getsockname()[1]}"
        async with Link(Entrance(url, "cf_secret", role="worker", member="me")):
            await asyncio.sleep(0.2)
            since = time.monotonic()
    assert time.monotonic() - since < 3.0


async def test_goodbye_takes_its_time_on_a_slow_line(stub: StubProxy):
    async with Link(entrance_to(stub)):
        visit = await stub.visit()
        visit.wire.transport.pause_reading()
        asyncio.get_running_loop().call_later(0.5, visit.wire.transport.resume_reading)
    await visit.wire.wait_closed()
    assert visit.wire.close_code == Close.SAID


async def test_silence_is_noticed(stub: StubProxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.remote.entrance.SILENCE_SECONDS", 0.3)
    monkeypatch.setattr("caption_flow.remote.entrance.PING_SECONDS", 0.1)
    async with Link(entrance_to(stub)):
        first = await stub.visit()
        await asyncio.sleep(0.5)
        assert len(stub.headers) == 1
        first.wire.transport.pause_reading()
        await stub.visit(1)
        first.cut()
