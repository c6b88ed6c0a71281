"""Visits: a sample passes all stages of one engine in a row, with its image where they need it."""

import hashlib

import pytest

from caption_flow.config.quality import Check
from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.engine.simulated import SimulatedEngine, simulated_text
from caption_flow.errors import EngineFailed, EngineGone
from caption_flow.lifecycle import Drain
from caption_flow.model import Lease
from caption_flow.worker.duty import Duty
from tests.made import jpeg, settings
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine, MortalEngine

IMAGES = [jpeg(n) for n in range(12)]
SEE = Stage("see", "", ("See.",), output_field="seen")
TELL = Stage("tell", "", ("Tell {seen}",), output_field="told", requires=("see",), image=False)
TAG = Stage("tag", "", ("Tag {told}",), output_field="tags", requires=("tell",), image=False)
STAGES = (SEE, TELL, TAG)


@pytest.fixture
def roles(roles: Roles) -> Roles:
    """A job of three stages, of which the first alone is shown the image."""
    roles.told = settings(stages=STAGES)
    return roles


class ObservingEngine(CountingEngine):
    """Remembers what it was asked, and fails on some prompts."""

    def __init__(self, *bad: str, capacity: int = 8) -> None:
        super().__init__(capacity)
        self._bad = bad
        self.asked: list[Request] = []

    def answer(self, request: Request) -> Output:
        self.asked.append(request)
        if request.prompt.startswith(self._bad) and self._bad:
            raise EngineFailed("It made no sense of this one.")
        return Output(f"<{request.prompt}>", "stop", 1, 2)


def moves(lease: Lease) -> tuple[str, list[str]]:
    """The stage that a sample waits in, and those that it has passed."""
    return lease.stage, [outcome.stage for outcome in lease.outcomes]


async def waiting(roles: Roles, stage: str) -> list[Lease]:
    """What another worker of this stage gets."""
    queue = await roles.work_queue()
    order = [each.name for each in roles.told.stages]
    await queue.serve(order, lease_seconds=60, only=[stage])
    return await queue.claim(100)


async def test_a_visit_passes_every_stage_of_the_engine_and_is_settled_once(roles: Roles):
    await roles.offer(IMAGES)
    engine = ObservingEngine()
    worker = await roles.worker(engine)

    await ends(worker.run())

    for caption in await roles.captions():
        made = [outcome.outputs for outcome in caption.outcomes]
        assert made == [
            {"seen": ["<See.>"]},
            {"told": ["<Tell <See.>>"]},
            {"tags": ["<Tag <Tell <See.>>>"]},
        ]
    assert worker.settler.completed == 12
    between = await roles.client.xinfo_stream(roles.job.lane.samples("tell"))
    assert between["entries-added"] == 0


async def test_only_stages_that_are_shown_the_image_get_it(roles: Roles):
    await roles.offer(IMAGES[:1])
    engine = ObservingEngine()

    await ends((await roles.worker(engine)).run())

    digest = hashlib.sha256(IMAGES[0]).hexdigest()
    assert [(r.data, r.sha256) for r in engine.asked] == [(IMAGES[0], digest), (b"", ""), (b"", "")]


async def test_a_visit_ends_before_a_stage_of_another_engine(roles: Roles):
    await roles.offer(IMAGES[:3])
    drain = Drain()
    duty = Duty.of(roles.told, 1, stages=[SEE, TAG])
    worker = await roles.worker(CountingEngine(), duty=duty, drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: worker.settler.completed == 3)
        drain.ask()
        await ends(working)

    found = await waiting(roles, "tell")
    assert [moves(lease) for lease in found] == [("tell", ["see"])] * 3


async def test_no_image_is_fetched_for_stages_that_need_none(roles: Roles):
    await roles.offer(IMAGES)
    drain = Drain()
    first = await roles.worker(
        CountingEngine(), duty=Duty.of(roles.told, 1, stages=[SEE]), drain=drain
    )
    then = await roles.worker(ObservingEngine(), duty=Duty.of(roles.told, 1, stages=[TELL, TAG]))
    async with running(first.run()), running(then.run()) as working:
        await ends(working)
        drain.ask()

    assert first.figures()["images"] == 12
    assert then.figures()["images"] == 0
    assert len(await roles.captions()) == 12


async def test_a_failure_in_a_later_stage_is_that_stages_own(roles: Roles):
    await roles.offer(IMAGES[:2])

    await ends((await roles.worker(ObservingEngine("Tell"))).run())

    for letter in (await roles.dead()).values():
        assert [outcome.stage for outcome in letter.outcomes] == ["see"]
        reasons = [(why.stage, why.attempt) for why in (*letter.earlier, letter.failure)]
        assert reasons == [("tell", 1), ("tell", 2), ("tell", 3)]
    assert len(await roles.dead()) == 2


async def test_a_visit_that_is_drained_ends_after_the_stage_it_is_in(roles: Roles):
    await roles.offer(IMAGES[:1])
    drain, engine = Drain(), CountingEngine()
    engine.gate.clear()
    async with running((await roles.worker(engine, drain=drain)).run()) as working:
        await until(lambda: engine.inside == 1)
        drain.ask()
        engine.gate.set()
        await ends(working)

    [lease] = await waiting(roles, "tell")
    assert (*moves(lease), lease.attempt) == ("tell", ["see"], 1)


async def test_a_visit_that_saw_an_engine_die_goes_on_where_it_was(roles: Roles):
    await roles.offer(IMAGES[:1])

    class DyingOnce(MortalEngine):
        died = False

        def answer(self, request: Request) -> Output:
            if request.prompt.startswith("Tag") and not self.died:
                self.died = True
                self._death.set_result(None)
            return super().answer(request)

    engine = DyingOnce([])
    await ends((await roles.worker(engine)).run())

    assert [prompt.split()[0] for prompt in engine.begun] == ["See.", "Tell", "Tag", "Tag"]
    [caption] = await roles.captions()
    assert [outcome.stage for outcome in caption.outcomes] == ["see", "tell", "tag"]


async def test_other_settings_are_for_the_next_visit_and_not_for_one_that_has_begun(roles: Roles):
    await roles.offer(IMAGES[:10])
    engine = ObservingEngine(capacity=1)
    engine.gate.clear()
    worker = await roles.worker(engine)
    other = settings(stages=(Stage("see", "", ("Look.",), output_field="seen"), TELL, TAG))
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 1)
        await worker.adopt(Duty.of(other, 2))
        engine.gate.set()
        await ends(working)

    captions = await roles.captions()
    for caption in captions:
        versions = {outcome.settings_version for outcome in caption.outcomes}
        [seen] = caption.outcomes[0].outputs["seen"]
        assert (versions, seen) in [({1}, "<See.>"), ({2}, "<Look.>")]
        assert caption.outcomes[1].outputs["told"] == [f"<Tell {seen}>"]
    olds = sum(caption.outcomes[0].settings_version == 1 for caption in captions)
    assert 1 <= olds <= 1 + 4  # inside, or decoded for it
    prompts = {outcome.prompts for caption in captions for outcome in caption.outcomes[:1]}
    assert len(prompts) == 2


async def test_a_sample_in_a_stage_that_the_job_has_no_more_is_moved_on(roles: Roles):
    await roles.offer(IMAGES[:3])  # to "see"
    roles.told = settings(stages=(Stage("look", "", ("Look.",), output_field="seen"), TELL, TAG))
    duty = Duty.of(roles.told, 2, stages=[TELL, TAG], former=["see"])
    mover = await roles.worker(CountingEngine(), duty=duty, exit_when_done=False)
    async with running(mover.run()):
        await until(lambda: roles.client.exists(roles.job.lane.samples("look")))
        await until(lambda: mover.figures()["in_hand"] == 0)

    assert mover.settler.completed == 0
    assert [moves(lease) for lease in await waiting(roles, "look")] == [("look", [])] * 3


async def test_what_waits_in_a_former_stage_is_captioned_where_it_is_claimed(roles: Roles):
    await roles.offer(IMAGES[:3])  # to "see"
    roles.told = settings(stages=(Stage("look", "", ("Look.",), output_field="seen"),))
    duty = Duty.of(roles.told, 2, former=["see"])

    await ends((await roles.worker(CountingEngine(), duty=duty)).run())

    captions = await roles.captions()
    assert [[outcome.stage for outcome in c.outcomes] for c in captions] == [["look"]] * 3


async def test_a_sample_whose_image_was_not_fetched_goes_back_as_it_was_when_it_is_needed(
    roles: Roles,
):
    await roles.offer(IMAGES[:10])
    blind = Stage("see", "", ("Guess.",), output_field="seen", image=False)
    engine = ObservingEngine(capacity=1)
    engine.gate.clear()
    worker = await roles.worker(engine, duty=Duty.of(settings(stages=(blind,)), 1))
    async with running(worker.run()) as working:
        await until(lambda: engine.inside == 1)
        await until(lambda: worker.figures()["in_hand"] == 10)
        await worker.adopt(Duty.of(settings(stages=(SEE,)), 2))
        engine.gate.set()
        await ends(working)

    captions = await roles.captions()
    assert len(captions) == 10
    assert {caption.outcomes[0].attempt for caption in captions} == {1}
    assert all(bool(r.data) == (r.prompt == "See.") for r in engine.asked)
    assert {r.prompt for r in engine.asked} == {"Guess.", "See."}


async def test_an_engine_that_is_gone_for_good_makes_no_suspects(roles: Roles):
    await roles.offer(IMAGES)

    class Refused(CountingEngine):
        async def caption(self, request: Request) -> Output:
            await super().caption(request)
            raise EngineGone("All keys are refused.")

    with pytest.raises(EngineGone, match="keys are refused"):
        await ends((await roles.worker(Refused())).run())

    found = await waiting(roles, "see")
    assert {(lease.attempt, lease.failures) for lease in found} == {(1, ())}
    assert len(found) == 12


async def test_what_was_made_before_an_engine_was_gone_is_kept(roles: Roles):
    await roles.offer(IMAGES)

    class Refused(CountingEngine):
        async def caption(self, request: Request) -> Output:
            if request.prompt.startswith("Tell"):
                raise EngineGone("All keys are refused.")
            return await super().caption(request)

    with pytest.raises(EngineGone, match="keys are refused"):
        await ends((await roles.worker(Refused(capacity=1))).run())

    found = await waiting(roles, "tell")
    assert {moves(lease)[1][0] for lease in found} == {"see"}
    assert {(lease.attempt, lease.failures) for lease in found} == {(1, ())}
    assert len(found) + len(await waiting(roles, "see")) == 12


async def test_simulated_text_tells_its_prompt():
    engine = SimulatedEngine(SimulatedConfig(), capacity=1)

    said = await engine.caption(Request("1", "a", TELL, "Tell this."))

    assert said.text == simulated_text("Tell this.", said.output_tokens)
    assert hashlib.sha256(b"Tell this.").hexdigest()[:32] in said.text


async def test_all_prompts_are_filled_in_while_the_stage_stays_as_it_was_written(roles: Roles):
    """An engine tells what the settings say from what strangers wrote into columns."""
    again = Check(check="too_short", words=3, retry_prompt="Again, {filename}", retries=1)
    stage = Stage("see", "", ("See {filename}",), system_prompt="On {filename}", quality=(again,))
    roles.told = settings(stages=(stage,))
    await roles.offer(IMAGES[:1])
    engine = ObservingEngine()

    await ends((await roles.worker(engine)).run())

    [caption] = await roles.captions()
    name = caption.sample.source.rpartition("/")[2]
    assert [request.prompt for request in engine.asked] == [f"See {name}", f"Again, {name}"]
    assert {request.system for request in engine.asked} == {f"On {name}"}
    assert all(request.stage.prompts == stage.prompts for request in engine.asked)
    assert all(request.stage.system_prompt == stage.system_prompt for request in engine.asked)
