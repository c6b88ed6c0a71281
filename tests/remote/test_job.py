"""RemoteJob: what a proxy tells by itself, and what is told to it."""

import asyncio

from caption_flow.model import Counts
from caption_flow.queue import ports
from caption_flow.queue.ports import Member, Settings
from caption_flow.remote.job import RemoteJob
from caption_flow.remote.link import Link
from caption_flow.wire.frames import Counted, CountsWanted, Orders, SettingsTold
from tests.remote.conftest import entrance_to
from tests.remote.stub import StubProxy
from tests.roles import until


async def test_job_has_no_settings_before_it_is_told_any(stub: StubProxy, link: Link):
    await stub.visit()

    assert await RemoteJob(link).settings() is None
    assert await RemoteJob(link).settings_mark() is None


async def test_settings_are_those_that_were_told_last(stub: StubProxy, link: Link):
    visit, job = await stub.visit(), RemoteJob(link)
    for version in (3, 4):
        heard = asyncio.create_task(job.news())
        await asyncio.sleep(0.05)
        await visit.send(SettingsTold(version, b"{}", "reload_config", ("tell", "look", "old")))
        await heard

        told = Settings(version, b"{}", "reload_config")
        assert await job.settings() == told
        assert await job.settings_mark() == told.mark
    assert await job.former_stages(["look"]) == ["old", "tell"]


async def test_settings_outlive_a_cut(stub: StubProxy, link: Link):
    visit, job = await stub.visit(), RemoteJob(link)
    await visit.send(SettingsTold(3, b"{}", "", ()))
    await until(lambda: link.settings)
    visit.cut()
    await stub.visit(1)

    assert await job.settings() == Settings(3, b"{}", "")


async def test_orders_are_there_for_who_looks(stub: StubProxy, link: Link):
    visit, job = await stub.visit(), RemoteJob(link)
    assert await job.orders("me") == ports.Orders()
    await visit.send(Orders(paused=True, drain=True))

    await until(lambda: link.orders.paused)
    assert await job.orders("me") == ports.Orders(paused=True, drain=True)


async def test_books_are_asked_for(stub: StubProxy, link: Link):
    visit, counts = await stub.visit(), Counts(planned=5, plan_done=True)
    asking = asyncio.create_task(RemoteJob(link).counts())
    await visit.send(Counted((await visit.next(CountsWanted)).id, counts))

    assert await asking == counts


async def test_last_word_is_cut_to_what_a_frame_holds(stub: StubProxy, link: Link):
    visit = await stub.visit()
    await until(lambda: link.welcome.ticket)
    figures = {f"figure {n}": float(n) for n in range(200)}
    member = Member("worker", "me", "host", 1, 0.0, 0.0, "idle: " + "x" * 2000, figures)
    await RemoteJob(link).beat(member)
    await until(lambda: visit.beats)

    assert len(visit.beats[0].state) == 1000
    assert len(visit.beats[0].figures) == 100


async def test_word_without_a_connection_is_nobodys_loss(stub: StubProxy):
    stub.refuse(503)
    async with Link(entrance_to(stub)) as link:
        await RemoteJob(link).beat(Member("worker", "me", "host", 1, 0.0, 0.0, "working"))
        stub.refusal = None
        visit = await stub.visit()
        await until(lambda: link.welcome.ticket)

    assert visit.beats == []
