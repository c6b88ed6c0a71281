"""Crew: the engines of one process, and what becomes of them when the settings change."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.quality import Check
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Engine, Output, Request
from caption_flow.errors import ConfigError, EngineGone, EngineUnfit
from caption_flow.fetch import Client
from caption_flow.herald import Herald
from caption_flow.lifecycle import Drain
from caption_flow.model import Lease
from caption_flow.worker.crew import Crew, Outfit
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from caption_flow.worker.served import Served, served
from caption_flow.worker.watch import Told
from tests.roles import PATIENCE, LastingQueue, Roles, ends, jpeg, running, settings, until
from tests.worker.engines import CountingEngine, MortalEngine

IMAGES = [jpeg(n) for n in range(30)]
SEE = Stage("see", "large", ("See.",), output_field="seen")
LIST = Stage("list", "large", ("List.",), output_field="listed")
KLINGON = Check(check="language", languages=("tlh",))
TELL = Stage("tell", "small", ("Tell.",), output_field="told", requires=("see",), image=False)


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings be looked for often."""
    monkeypatch.setattr("caption_flow.worker.crew.LOOK_SECONDS", 0.01)


class Unspoken(Exception):
    """Says nothing of itself, as many an error of a library does."""


class TellingEngine(CountingEngine):
    """Writes down when it starts and stops, with all others of its host."""

    def __init__(self, model: str, diary: list[str], capacity: int = 4) -> None:
        super().__init__(capacity)
        self.model = model
        self._diary = diary
        self.bad = ""  # start of a prompt that it will not have

    async def start(self) -> None:
        if self.model == "bad":
            raise EngineUnfit("There is no such model.\nIt has others.")
        if self.model == "worse":
            raise Unspoken
        self._diary.append(f"start {self.model}")

    async def rehearse(self, stage: Stage) -> None:
        if "wrong" in stage.prompts[0]:
            raise EngineUnfit("This prompt cannot be put into the template.")

    async def stop(self) -> None:
        self._diary.append(f"stop {self.model}")


class Host:
    """One process of workers on a job, with all the engines that it ever had."""

    connect: Callable[[], Client] = Client  # what fetches images

    def __init__(
        self,
        roles: Roles,
        make: Callable[[str, list[str]], Engine] = TellingEngine,
        drain: Drain | None = None,
        **config: Any,
    ) -> None:
        self.roles = roles
        self.diary: list[str] = []
        self.engines: list[Any] = []
        self.drain = drain or Drain()
        self.crew: Any = None
        self.herald: Any = None
        self._make = make
        self._config = WorkerConfig(**{"exit_when_done": True, "drain_timeout": PATIENCE, **config})

    async def run(self, name: str = "host") -> None:
        published = await self.roles.job.settings()
        assert published is not None
        self.crew = Crew(
            self.roles.job,
            Told.of(published),
            Outfit(
                engine=self._engine,
                queue=lambda consumer: LastingQueue(self.roles.job, name=consumer),
                references=lambda _: References(self.connect, Hub(), at_once=4, max_bytes=1 << 20),
            ),
            self._config,
            name=name,
            drain=self.drain,
        )
        self.herald = Herald(self.roles.job, role="worker", name=name, figures=self.crew.figures)
        await self.crew.run(self.herald)

    def _engine(self, _: Broadcast, needed: Served) -> Engine:
        engine = self._make(needed.stages[0].model, self.diary)
        self.engines.append(engine)
        return engine

    def is_idle(self) -> bool:
        return bool(self.herald) and self.herald.state.startswith("idle: ")

    async def captioned(self, count: int) -> None:
        await until(lambda: self.crew and self.crew.figures()["captions"] >= count)


async def publish(roles: Roles, *stages: Stage, **changes: Any) -> None:
    """Make these the settings of the job."""
    roles.told = settings(**({"stages": stages} if stages else {}), **changes)
    before = await roles.job.settings()
    if before is None:
        await roles.feed_queue().publish(roles.told.encode(), "pictures")
        return
    names = [stage.name for stage in roles.told.stages]
    document = roles.told.encode()
    assert await roles.job.reload(document, names, instead_of=before.version, by="me")


async def left(roles: Roles, stage: str) -> list[Lease]:
    """What another worker of a stage gets at once."""
    queue = await roles.work_queue()
    await queue.serve([stage], lease_seconds=60)
    return await queue.claim(1000)


async def test_stages_of_one_model_share_an_engine_and_each_model_has_one(roles: Roles):
    await publish(roles, SEE, LIST, TELL)
    await roles.offer(IMAGES)
    host = Host(roles)

    await ends(host.run())

    assert host.diary == ["start large", "start small", "stop large", "stop small"]
    captions = await roles.captions()
    assert len(captions) == 30
    for caption in captions:
        assert [(o.stage, o.model) for o in caption.outcomes] == [
            ("see", "large"),
            ("list", "large"),
            ("tell", "small"),
        ]
        assert {outcome.worker for outcome in caption.outcomes} == {"host"}
    figures = host.crew.figures()
    assert (figures["captions"], figures["images"], figures["failed"]) == (60, 30, 0)
    assert figures["samples"] == 30


async def test_each_worker_of_a_process_is_a_consumer_of_its_own(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await host.captioned(10)
        one, other = await _consumers(roles, "see"), await _consumers(roles, "tell")

    assert (one, other) == ({"host.1"}, {"host.2"})


async def _consumers(roles: Roles, stage: str) -> set[str]:
    rows = await roles.client.xinfo_consumers(roles.job.lane.samples(stage), "workers")
    return {row["name"].decode() for row in rows}


async def test_a_process_serves_the_stages_that_are_named(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    seeing, telling = Host(roles, stages=("see",)), Host(roles, stages=("tell",))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(seeing.run("one"), telling.run("other"))

    assert seeing.diary == ["start large", "stop large"]
    assert telling.diary == ["start small", "stop small"]
    assert (seeing.crew.figures()["images"], telling.crew.figures()["images"]) == (30, 0)
    workers = {tuple(o.worker for o in c.outcomes) for c in await roles.captions()}
    assert workers == {("one", "other")}


def held(model: str, diary: list[str]) -> TellingEngine:
    """Make an engine that waits for its gate, if it is the large one."""
    engine = TellingEngine(model, diary)
    if model == "large":
        engine.gate.clear()
    return engine


async def figures_with(roles: Roles, images: Sequence[bytes], inside: int) -> dict[str, float]:
    """Give what a crew counts while so many of the images are in its first engine."""
    await roles.offer(images)
    host = Host(roles, held)
    async with running(host.run()) as working:
        await until(lambda: host.engines and host.engines[0].inside == inside)
        figures = host.crew.figures()
        host.engines[0].gate.set()
        await ends(working)
    return figures


async def test_stages_of_several_engines_are_told_apart(roles: Roles):
    await publish(roles, SEE, LIST, TELL)

    figures = await figures_with(roles, IMAGES, 4)

    assert (figures["running:see"], figures["running:list"], figures["running:tell"]) == (4, 4, 0)
    assert (figures["slots:tell"], figures["slots"]) == (4, 8)
    assert figures["free_lately:tell"] > figures["free_lately:see"]


async def test_figures_of_stages_fit_through_a_proxy(roles: Roles):
    """Which ends a connection that tells more of them, or of longer names."""
    many = [replace(TELL, name=f"{n:02}", output_field=f"told{n}") for n in range(40)]
    await publish(roles, SEE, *many, replace(TELL, name=100 * "t"))

    figures = await figures_with(roles, IMAGES[:1], 1)

    assert len(figures) <= 100
    assert max(map(len, figures)) <= 100
    assert "slots:see" in figures


async def test_stages_of_one_engine_are_told_together(roles: Roles):
    await publish(roles, SEE, LIST)
    await roles.offer(IMAGES)
    host = Host(roles)

    await ends(host.run())

    assert not [name for name in host.crew.figures() if ":" in name]


def test_a_stage_that_the_job_has_not_is_refused_with_the_nearest():
    told = settings(stages=(SEE, TELL))

    with pytest.raises(ConfigError, match=r'^stages: .* no stage "tel"; did you mean "tell"\?$'):
        served(told, ["tel"], {})
    with pytest.raises(ConfigError, match=r'no stage "fly"\. It has see, tell\.$'):
        served(told, ["fly"], {})


def test_one_model_of_a_host_is_not_for_stages_of_two():
    told = settings(engine="vllm", stages=(SEE, TELL))

    with pytest.raises(ConfigError, match=r"^vllm\.model .*large, small.*--stage"):
        served(told, [], {"model": "/models/large"})
    assert len(served(told, ["see"], {"model": "/models/large"})) == 1


@pytest.mark.parametrize(
    ("engine", "arguments", "overrides", "shares"),
    [
        ("vllm", {}, {}, [2, 2]),
        ("vllm", {"gpu_memory_utilization": 0.3}, {}, [1, 2]),
        ("vllm", {}, {"gpu_memory_utilization": 0.3}, [1, 1]),
        ("simulated", {}, {}, [1, 1]),
    ],
)
def test_engines_without_a_memory_share_of_their_own_divide_the_device(
    engine: str, arguments: dict[str, Any], overrides: dict[str, Any], shares: list[int]
):
    told = settings(engine=engine, stages=(replace(SEE, engine_args=arguments), TELL))

    assert [each.share for each in served(told, [], overrides)] == shares


async def test_another_prompt_is_taken_without_another_engine(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    await publish(roles, SEE)
    await roles.offer(IMAGES)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()) as working:
        await host.captioned(30)
        await publish(roles, replace(SEE, prompts=("Look.",)))
        await until(lambda: "of version 2 now" in caplog.text)
        await roles.offer(IMAGES[:10], first=30)
        await host.captioned(40)
        host.drain.ask()
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    by_version = {
        (c.outcomes[0].settings_version, c.outcomes[0].outputs["seen"][0].split()[0])
        for c in await roles.captions()
    }
    assert by_version <= {(1, "See."), (2, "Look.")}
    assert len(by_version) == 2


async def test_another_model_is_loaded_when_the_last_has_drained_and_stopped(roles: Roles):
    await publish(roles, SEE)
    await roles.offer(IMAGES)
    host = Host(roles)
    async with running(host.run()) as working:
        await until(lambda: host.engines and host.engines[0].inside == 0)
        host.engines[0].gate.clear()
        await until(lambda: host.engines[0].inside == 4)
        await publish(roles, replace(SEE, model="larger"))
        await until(lambda: host.crew.figures()["in_hand"] == 4)  # the others went back
        host.engines[0].gate.set()
        await ends(working)

    assert host.diary == ["start large", "stop large", "start larger", "stop larger"]
    captions = await roles.captions()
    made = {(c.outcomes[0].model, c.outcomes[0].settings_version) for c in captions}
    assert made == {("large", 1), ("larger", 2)}
    assert {caption.outcomes[0].attempt for caption in captions} == {1}
    assert len(captions) == 30


async def test_an_engine_that_is_not_concerned_goes_on_while_another_is_loaded(roles: Roles):
    await publish(roles, SEE, TELL)
    loading = asyncio.Event()

    class Slow(TellingEngine):
        async def start(self) -> None:
            if self.model == "smaller":
                await loading.wait()
            await super().start()

    host = Host(roles, Slow, exit_when_done=False)
    async with running(host.run()) as working:
        await until(lambda: host.diary == ["start large", "start small"])
        await publish(roles, SEE, replace(TELL, model="smaller"))
        await until(lambda: len(host.engines) == 3)
        await roles.offer(IMAGES)
        await host.captioned(30)
        loading.set()
        await host.captioned(60)
        host.drain.ask()
        await ends(working)

    assert host.diary[:4] == ["start large", "start small", "stop small", "start smaller"]


async def test_settings_of_the_worker_make_it_anew_around_the_engine_it_has(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles)
    await roles.offer(IMAGES)
    async with running(host.run()) as working:
        await host.captioned(1)
        await publish(roles, SEE, engine_timeout=PATIENCE + 1)
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    captions = await roles.captions()
    assert len(captions) == 30
    assert host.crew.figures()["captions"] == 30
    assert {caption.outcomes[0].attempt for caption in captions} == {1}


async def test_settings_that_cannot_be_read_change_nothing(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.diary)
        await roles.job.reload(b'{"new": 1}', ["see"], instead_of=1, by="me")
        await until(lambda: "Going on without version 2." in caplog.text)
        await roles.offer(IMAGES[:5])
        await host.captioned(5)

    assert {c.outcomes[0].settings_version for c in await roles.captions()} == {1}
    assert caplog.text.count("Going on without version 2.") == 1


async def test_other_settings_under_the_same_version_are_followed_too(
    roles: Roles, caplog: pytest.LogCaptureFixture
):
    """As when Redis was emptied, and a feeder began anew with a document that was edited."""
    caplog.set_level("INFO")
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.diary)
        await roles.client.flushall()
        await publish(roles, replace(SEE, prompts=("Look.",)))
        await until(lambda: caplog.text.count("The settings are of version 1 now") == 1)
        await roles.offer(IMAGES[:5])
        await host.captioned(5)

    said = {caption.outcomes[0].outputs["seen"][0] for caption in await roles.captions()}
    assert {text.split()[0] for text in said} == {"Look."}


@pytest.mark.parametrize(
    "wrong",
    [
        replace(SEE, model="bad"),
        replace(SEE, model="worse"),
        replace(SEE, prompts=("wrong {",)),
        replace(SEE, name="other"),
    ],
    ids=["model", "silent model", "prompt", "stage"],
)
async def test_settings_that_do_not_work_here_leave_all_samples_where_they_are(
    roles: Roles, caplog: pytest.LogCaptureFixture, wrong: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.worker.crew.COMPLAIN_SECONDS", 0.05)
    await publish(roles, SEE)
    host = Host(roles, stages=("see",))
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, wrong)
        await until(host.is_idle)
        await roles.offer(IMAGES[:5])
        await until(lambda: caplog.text.count("Waiting for other settings") > 1)
        assert host.crew.figures()["in_hand"] == 0
        assert not working.done()

        await publish(roles, replace(SEE, prompts=("Look.",)))
        await ends(working)

    captions = await roles.captions()
    assert {(c.outcomes[0].settings_version, c.outcomes[0].attempt) for c in captions} == {(3, 1)}
    assert len(captions) == 5
    assert "These settings cannot be followed here." in caplog.text


async def test_a_process_goes_on_with_those_of_its_stages_that_are_left(roles: Roles):
    await publish(roles, SEE, LIST)
    host = Host(roles, stages=("see", "list"))
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, SEE)
        await until(lambda: host.herald.state.startswith("working: "))
        await roles.offer(IMAGES[:5])
        await ends(working)

    assert host.diary == ["start large", "stop large"]
    assert 'the job has no stage "list"' in host.herald.state
    assert [[o.stage for o in c.outcomes] for c in await roles.captions()] == [["see"]] * 5


async def test_a_process_without_an_engine_ends_with_the_job(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles)
    async with running(host.run()) as working:
        await until(lambda: host.diary)
        await publish(roles, replace(SEE, model="bad"))
        await until(host.is_idle)
        await roles.offer(IMAGES[:1])
        assert await roles.finish_waiting("see") == 1
        await ends(working)


async def test_an_engine_that_does_not_start_at_first_ends_the_process(roles: Roles):
    await publish(roles, SEE, replace(TELL, model="bad"))
    await roles.offer(IMAGES)
    host = Host(roles)

    with pytest.raises(EngineUnfit, match="no such model"):
        await ends(host.run())

    assert host.diary == ["start large", "stop large", "stop bad"]
    assert len(await left(roles, "see")) == 30


async def test_an_engine_that_is_gone_ends_the_process_and_hands_everything_back(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)

    class Refused(TellingEngine):
        async def caption(self, request: Request) -> Output:
            if self.model == "small":
                raise EngineGone("All keys are refused.")
            return await super().caption(request)

    host = Host(roles, Refused)
    with pytest.raises(EngineGone, match="keys are refused"):
        await ends(host.run())

    assert host.diary[2:] == ["stop large", "stop small"]
    found = [*await left(roles, "see"), *await left(roles, "tell")]
    assert {(lease.attempt, lease.failures) for lease in found} == {(1, ())}
    assert len(found) == 30


@pytest.mark.parametrize("at", ["first", "reload"])
async def test_a_stop_while_an_engine_loads_ends_at_once(roles: Roles, at: str):
    await publish(roles, SEE)

    class Endless(TellingEngine):
        async def start(self) -> None:
            if self.model == "slow" or at == "first":
                await asyncio.Event().wait()
            await super().start()

    host = Host(roles, Endless, exit_when_done=False)
    async with running(host.run()) as working:
        if at == "reload":
            await until(lambda: host.diary)
            await publish(roles, replace(SEE, model="slow"))
        await until(lambda: len(host.engines) == (1 if at == "first" else 2))
        host.drain.ask()
        await ends(working)

    assert host.diary[-1] == ("stop large" if at == "first" else "stop slow")


async def test_nothing_is_stranded_in_a_stage_that_is_renamed(roles: Roles):
    await publish(roles, SEE, TELL)
    await roles.offer(IMAGES)
    host = Host(roles)
    async with running(host.run()) as working:
        await host.captioned(10)
        await publish(roles, SEE, replace(TELL, name="say"))
        await ends(working)

    captions = await roles.captions()
    assert len(captions) == 30
    assert {c.outcomes[-1].stage for c in captions} >= {"say"}
    assert {outcome.attempt for c in captions for outcome in c.outcomes} == {1}


async def test_check_that_cannot_be_made_is_told_before_the_engine_is_loaded(roles: Roles):
    await publish(roles, replace(SEE, quality=(KLINGON,)))
    host = Host(roles)

    with pytest.raises(ConfigError, match="tlh"):
        await host.run()
    assert host.engines == []


async def test_check_that_cannot_be_made_later_keeps_the_worker_waiting(roles: Roles):
    await publish(roles, SEE)
    host = Host(roles, exit_when_done=False)
    async with running(host.run()):
        await until(lambda: host.crew and host.crew.figures()["in_hand"] == 0 and host.diary)
        await publish(roles, replace(SEE, quality=(KLINGON,)))
        await until(host.is_idle)
        await publish(roles, SEE)
        await until(lambda: not host.is_idle())
    assert host.diary.count("start large") == 1


class SlowlyRevivedEngine(MortalEngine):
    """Dies of one image, and is started again only once it may be."""

    def __init__(self, *_: object) -> None:
        super().__init__(IMAGES[:1])
        self.may_start = asyncio.Event()
        self._lives = 0

    async def start(self) -> None:
        self._lives += 1
        if self._lives > 1:
            await self.may_start.wait()
        await super().start()


async def test_crew_without_an_engine_that_is_alive_says_so(roles: Roles):
    await publish(roles)
    await roles.offer(IMAGES)
    host = Host(roles, SlowlyRevivedEngine, exit_when_done=False)
    async with running(host.run()) as working:
        await until(lambda: host.herald and host.herald.state == "reloading")
        assert host.crew.figures()["engine_deaths"] == 1
        host.engines[0].may_start.set()
        await until(lambda: host.herald.state == "working")
        host.drain.ask()
        await ends(working)
