"""Health of a process: alive as long as it answers, ready as long as it works."""

import asyncio
import threading
import time
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from caption_flow.errors import QueueUnreachable
from caption_flow.herald import Herald
from caption_flow.metrics import vitals as module
from caption_flow.metrics.pages import health, metrics
from caption_flow.metrics.vitals import Pulse, Vitals
from caption_flow.model import Counts
from caption_flow.queue.ports import Member, Snapshot
from caption_flow.web.apart import apart
from caption_flow.web.site import Answer, Asked, Page, Site
from tests.metrics.scrape import Scrape, get
from tests.roles import until


class Queue:
    """A queue that is there, or is away."""

    away = False
    refused = 0

    async def beat(self, _: Member) -> None:
        if self.away:
            self.refused += 1
            raise QueueUnreachable("No answer from a host that nobody shall hear of.")

    async def leave(self, _: Member) -> None:
        """It takes any word."""


def herald(queue: Queue, figures: Mapping[str, float] | None = None) -> Herald:
    return Herald(queue, role="sink", name="me", figures=lambda: figures or {})


async def ask(pages: Mapping[str, Page], path: str) -> Answer:
    return await pages[path](Asked(path))


async def test_process_that_begins_is_alive_and_not_ready():
    pages = health(Vitals("worker"))

    assert (await ask(pages, "/healthz")).status == 200
    ready = await ask(pages, "/readyz")
    assert (ready.status, ready.body) == (503, b"Not ready: its state is starting.\n")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("working", 200),
        ("working: hands back samples: a secret", 200),
        ("idle: no model at /secret", 503),
        ("reloading", 503),
    ],
)
async def test_process_is_ready_while_it_is_at_work_and_tells_no_more(state: str, status: int):
    vitals = Vitals("sink")
    async with herald(Queue()) as member, Pulse(vitals, member):
        member.state = state
        await until(lambda: vitals.answered and vitals.state == state.partition(":")[0])
        ready = await ask(health(vitals), "/readyz")

    assert ready.status == status
    assert b"secret" not in ready.body


@pytest.mark.parametrize(
    ("state", "paused", "draining", "said"),
    [
        ("working", True, False, "Ready: paused."),
        ("working: declines a stage", True, False, "Ready: paused."),
        ("starting", True, False, "Not ready: its state is starting."),
        ("idle: no model", True, False, "Not ready: its state is idle."),
        ("reloading", True, False, "Not ready: its state is reloading."),
        ("working", False, True, "Not ready: its state is draining."),
        ("working", True, True, "Not ready: its state is draining."),
        ("starting", False, True, "Not ready: its state is starting."),
    ],
)
async def test_pause_makes_nobody_ready_and_a_drain_ends_that(
    state: str, paused: bool, draining: bool, said: str
):
    member = Herald(
        Queue(),
        role="worker",
        name="me",
        figures=dict,
        paused=lambda: paused,
        draining=lambda: draining,
    )
    member.state = state
    vitals = Vitals("worker")
    vitals.move()
    vitals.hear(member.word(), time.monotonic())

    assert (await ask(health(vitals), "/readyz")).body.decode().strip() == said


def working(heard: float, moved: float) -> Vitals:
    """One that was heard, and that moved, so many seconds ago."""
    vitals, now = Vitals("sink"), time.monotonic()
    word = herald(Queue()).word()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "monotonic", lambda: now - moved)
        vitals.move()
    vitals.hear(replace(word, state="working"), now - heard)
    return vitals


@pytest.mark.parametrize(
    ("heard", "moved", "status", "said"),
    [
        (9, 0, 200, "Ready: working."),
        (11, 0, 503, "Not ready: the queue does not answer it."),
        (0, 14, 200, "Ready: working."),
        (0, 16, 503, "Not ready: nothing has moved in it for 16 s."),
    ],
)
async def test_process_is_not_ready_while_its_queue_is_away_or_its_loop_is_held_up(
    heard: float, moved: float, status: int, said: str
):
    ready = await ask(health(working(heard, moved)), "/readyz")

    assert (ready.status, ready.body.decode().strip()) == (status, said)


async def test_word_that_the_queue_does_not_take_is_no_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.herald.BEAT_SECONDS", 0.01)
    queue = Queue()
    async with herald(queue) as member:
        await until(lambda: member.answered > 0)
        queue.away = True
        await until(lambda: queue.refused)
        last = member.answered
        await until(lambda: queue.refused > 3)

    assert member.answered == last


async def test_site_answers_while_the_loop_of_its_process_is_held_up():
    vitals = Vitals("sink")
    site = Site({**health(vitals), **metrics(vitals)})
    async with herald(Queue(), {"rows": 3.0}) as member, Pulse(vitals, member):
        member.state = "working"
        await until(lambda: vitals.state == "working")
        with apart(site, "127.0.0.1", 0) as port:
            answers = []
            asking = threading.Thread(target=lambda: answers.append(get(port, "/metrics")))
            asking.start()
            while asking.is_alive():  # not a moment for any task here
                time.sleep(0.01)  # noqa: ASYNC251

    assert Scrape(answers[0].body)["caption_flow_sink_rows_total"] == 3


async def test_last_figures_of_a_process_are_told_once_it_has_ended():
    figures, vitals = {"rows": 1.0}, Vitals("sink")
    async with herald(Queue(), figures) as member, Pulse(vitals, member):
        await until(lambda: vitals.word)
        figures["rows"] = 9.0

    told = Scrape((await ask(metrics(vitals), "/metrics")).body.decode())
    assert told["caption_flow_sink_rows_total"] == 9


async def test_job_is_looked_at_in_the_loop_that_knows_it_from_another():
    looked_in = []

    async def look() -> Snapshot:
        looked_in.append(asyncio.get_running_loop())
        return Snapshot(1.0, Counts(planned=4))

    vitals = Vitals("proxy")
    vitals.look_by(look)
    with apart(Site(metrics(vitals)), "127.0.0.1", 0) as port:
        seen = await asyncio.to_thread(get, port, "/metrics")

    assert Scrape(seen.body)["caption_flow_samples_planned"] == 4
    assert looked_in == [asyncio.get_running_loop()]


class SlowJob:
    """A job that is looked at only once it may be."""

    def __init__(self) -> None:
        self.may_look = asyncio.Event()
        self.looks = 0

    async def look(self) -> Snapshot:
        self.looks += 1
        await self.may_look.wait()
        return Snapshot(1.0, Counts(planned=self.looks))


async def scrape(vitals: Vitals) -> Scrape:
    return Scrape((await ask(metrics(vitals), "/metrics")).body.decode())


async def test_look_that_takes_long_is_not_in_vain(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    slow, vitals = SlowJob(), Vitals("proxy")
    vitals.look_by(slow.look)

    first, second = await scrape(vitals), await scrape(vitals)
    slow.may_look.set()
    third = await scrape(vitals)
    slow.may_look.clear()
    fourth = await scrape(vitals)

    assert first["caption_flow_job_seen"] == second["caption_flow_job_seen"] == 0
    assert "caption_flow_samples_planned" not in first.names
    assert third["caption_flow_job_seen"] == third["caption_flow_samples_planned"] == 1
    assert (fourth["caption_flow_samples_planned"], slow.looks) == (1, 2)  # found by the third


async def test_what_was_seen_long_ago_is_told_no_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    slow, vitals = SlowJob(), Vitals("proxy")
    vitals.look_by(slow.look)
    slow.may_look.set()
    await scrape(vitals)
    slow.may_look.clear()
    monkeypatch.setattr(module, "LATE_SECONDS", 0.0)

    assert (await scrape(vitals))["caption_flow_job_seen"] == 0


def test_process_whose_loop_has_ended_sees_no_job():
    slow, vitals = SlowJob(), Vitals("proxy")

    async def begin() -> None:
        vitals.look_by(slow.look)

    asyncio.run(begin())

    assert asyncio.run(scrape(vitals))["caption_flow_job_seen"] == 0


async def test_process_that_looks_at_no_job_does_not_say_that_it_sees_none():
    assert "caption_flow_job_seen" not in (await scrape(Vitals("worker"))).names


async def test_process_tells_of_itself_while_its_queue_is_away():
    async def look() -> Snapshot:
        raise QueueUnreachable("No answer.")

    vitals = Vitals("proxy")
    vitals.look_by(look)
    told = Scrape((await ask(metrics(vitals), "/metrics")).body.decode())

    assert told["caption_flow_queue_up"] == 0
    assert told["process_cpu_seconds_total"] > 0
    assert "caption_flow_samples_planned" not in told.names
