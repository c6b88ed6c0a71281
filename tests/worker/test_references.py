"""References: a worker reads an image where it lies, and says what became of it."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.config.schema import ImagesConfig
from caption_flow.config.vllm import Stage
from caption_flow.fetch import Client
from caption_flow.image import fit
from caption_flow.lifecycle import Drain
from caption_flow.model import Reference
from caption_flow.queue.connect import Connections
from caption_flow.worker import held
from caption_flow.worker.duty import Duty
from caption_flow.worker.locate import Hub
from caption_flow.worker.references import References
from tests.fetch import naughty
from tests.fetch.conftest import _no_waiting, server
from tests.fetch.naughty import NaughtyServer
from tests.made import jpeg, settings
from tests.roles import (
    Roles,
    ends,
    running,
    until,
)
from tests.worker.engines import CountingEngine
from tests.worker.fetching import LARGEST, SLOW, Make, brief, make, serve, simulated

__all__ = ["_no_waiting", "brief", "make", "server"]

TWO_STAGES = (
    Stage(name="look", model="", prompts=("What?",)),
    Stage(name="tell", model="", prompts=("Tell.",), output_field="story", requires=("look",)),
)


@pytest.fixture
def slow_server() -> Iterator[NaughtyServer]:
    with NaughtyServer(SLOW) as started:
        yield started


@pytest.mark.parametrize("decode", [False, True])
async def test_an_image_is_read_where_it_lies(
    roles: Roles, server: NaughtyServer, make: Make, decode: bool
):
    await roles.offer(serve(server, *range(20)))

    await ends((await roles.worker(simulated(decode=decode), references=make())).run())

    captions = await roles.captions()
    assert len(captions) == 20
    for caption in captions:
        image = jpeg(int(caption.sample.id[:5]))
        digest = hashlib.sha256(image).hexdigest()
        sample = caption.sample
        assert (sample.sha256, sample.bytes, sample.format) == (digest, len(image), "jpeg")
        assert (sample.width, sample.height) == (8, 8)
        assert digest[:32] in caption.outcomes[0].outputs["captions"][0]


async def test_its_facts_stand_in_the_row(roles: Roles, server: NaughtyServer, make: Make):
    [reference] = serve(server, 5)
    await roles.offer([reference])

    await ends((await roles.worker(simulated(), references=make())).run())
    await ends(roles.sink().run())

    [row] = roles.rows()
    assert (row["sha256"], row["source"]) == (hashlib.sha256(jpeg(5)).hexdigest(), reference.url)


async def test_a_large_image_is_shrunk_as_the_feeder_does(
    connections: Connections, tmp_path: Path, server: NaughtyServer, make: Make
):
    told = ImagesConfig(max_side=64)
    roles = Roles(connections, tmp_path, settings(images=told))
    large = jpeg(1, side=300)
    await roles.offer([Reference(server.serve("/large", large))])

    await ends((await roles.worker(simulated(), references=make())).run())

    [caption] = await roles.captions()
    _, fed = fit(large, max_side=64, max_bytes=told.max_bytes, max_pixels=told.max_pixels)
    assert (caption.sample.sha256, caption.sample.width) == (fed.sha256, 64)


async def test_an_image_may_be_some_bytes_of_an_archive(
    roles: Roles, server: NaughtyServer, make: Make
):
    images = [jpeg(n) for n in range(3)]
    url = server.serve("/0.tar", b"?" * 512 + b"".join(images))
    starts = [512 + sum(map(len, images[:n])) for n in range(3)]
    pairs = zip(starts, images, strict=True)
    await roles.offer([Reference(url, start, len(image)) for start, image in pairs])

    await ends((await roles.worker(simulated(), references=make())).run())

    found = {caption.sample.sha256 for caption in await roles.captions()}
    assert found == {hashlib.sha256(image).hexdigest() for image in images}


async def test_a_file_of_the_hub_is_asked_for_with_our_token(
    roles: Roles, server: NaughtyServer, make: Make
):
    path = "datasets/user/repo/resolve/main/a.jpg"
    server.serve(f"/{path}", jpeg(1))
    await roles.offer([Reference(path, hub=True)])
    reading = make(Hub(server.url(""), "hush"), networks=())

    await ends((await roles.worker(simulated(), references=reading)).run())

    [call] = server.asked(f"/{path}")
    assert call.headers["authorization"] == "Bearer hush"
    assert len(await roles.captions()) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{local}/missing", "not_found"),
        ("{local}/page", "not_an_image"),
        ("{local}/empty", "empty"),
        ("{local}/large", "too_many_bytes"),
        ("{forbidden}/0.jpg", "forbidden_address"),
        ("file:///etc/passwd", "bad_url"),
        ("nonsense", "bad_url"),
    ],
)
async def test_what_no_further_attempt_would_mend_is_a_dead_letter_at_once(
    roles: Roles, server: NaughtyServer, make: Make, url: str, reason: str
):
    server.serve("/page", b"<html>no such image</html>")
    server.serve("/empty", b"")
    server.serve("/large", bytes(LARGEST + 1))
    [good] = serve(server, 7)
    bad = url.format(local=server.url(""), forbidden=server.url("", "127.0.0.3"))
    await roles.offer([Reference(bad), good])

    await ends((await roles.worker(simulated(), references=make())).run())

    letter = (await roles.dead())["00000.jpg"]
    assert (letter.failure.reason, letter.failure.stage, letter.earlier) == (reason, "caption", ())
    assert [caption.sample.id for caption in await roles.captions()] == ["00001.jpg"]


async def test_a_path_that_leads_out_of_the_hub_is_a_dead_letter(
    roles: Roles, server: NaughtyServer, make: Make
):
    await roles.offer([Reference("datasets/u/r/resolve/../../x", hub=True)])

    worker = await roles.worker(simulated(), references=make(Hub(server.url(""), "hush")))
    await ends(worker.run())

    assert (await roles.dead())["00000.jpg"].failure.reason == "bad_url"
    assert server.seen == []


async def test_what_may_pass_is_tried_again(roles: Roles, server: NaughtyServer, make: Make):
    busy = naughty.status(503)
    await roles.offer([Reference(server.on("/a", busy, busy, naughty.whole(jpeg(1))))])

    await ends((await roles.worker(simulated(), references=make(tries=1))).run())

    [caption] = await roles.captions()
    assert caption.outcomes[0].attempt == 3


async def test_what_never_passes_is_a_dead_letter_after_its_attempts(
    roles: Roles, server: NaughtyServer, make: Make
):
    await roles.offer([Reference(server.on("/a", naughty.status(500)))])

    await ends((await roles.worker(simulated(), references=make(tries=1))).run())

    letter = (await roles.dead())["00000.jpg"]
    assert [failure.reason for failure in (*letter.earlier, letter.failure)] == ["server_error"] * 3


async def test_a_slow_url_holds_up_no_other_sample(roles: Roles, server: NaughtyServer, make: Make):
    gate = threading.Event()
    slow = server.on("/slow", naughty.late(naughty.whole(jpeg(0)), gate))
    await roles.offer([Reference(slow), *serve(server, *range(1, 10)), *map(jpeg, range(10, 20))])
    worker = await roles.worker(simulated(), references=make())
    async with running(worker.run()) as working:
        await until(lambda: worker.settler.completed == 19)
        gate.set()
        await ends(working)

    assert len(await roles.captions()) == 20


async def test_a_slow_host_leaves_room_in_hand_for_the_others(
    roles: Roles, server: NaughtyServer, slow_server: NaughtyServer, make: Make
):
    """More than the engine takes and as many again are of one host that does not answer."""
    slow = [Reference(slow_server.on(f"/{n}", naughty.silent)) for n in range(40)]
    await roles.offer([*slow, *serve(server, *range(10))])
    drain = Drain()
    worker = await roles.worker(CountingEngine(capacity=2), references=make(), drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: worker.settler.completed == 10)
        drain.ask()
        await ends(working)

    assert await roles.dead() == {}


async def test_no_more_is_in_hand_once_images_are_there(
    roles: Roles, server: NaughtyServer, make: Make
):
    await roles.offer(serve(server, *range(60)))
    engine = CountingEngine(capacity=2)
    engine.gate.clear()
    worker = await roles.worker(engine, references=make(at_once=4, per_host=4))
    async with running(worker.run()):
        await until(lambda: len(server.seen) >= 18 and engine.inside == 2)

        assert worker.figures()["in_hand"] <= 2 + 16 + 4


async def test_samples_whose_image_is_on_its_way_are_counted(
    roles: Roles, slow_server: NaughtyServer, make: Make
):
    slow = [Reference(slow_server.on(f"/{n}", naughty.silent)) for n in range(3)]
    await roles.offer([*slow, jpeg(0)])
    engine = CountingEngine()
    engine.gate.clear()
    worker = await roles.worker(engine, references=make())
    async with running(worker.run()):
        await until(lambda: engine.inside == 1)

        assert (worker.figures()["in_hand"], worker.figures()["coming"]) == (4, 3)


async def test_images_beyond_what_may_be_held_wait(
    roles: Roles, server: NaughtyServer, make: Make, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held, "HELD_BYTES", 2 * len(jpeg(0)))
    await roles.offer([*serve(server, *range(20)), *map(jpeg, range(20, 30))])

    await ends((await roles.worker(simulated(), references=make())).run())

    assert len(await roles.captions()) == 30


async def serve_each_stage(roles: Roles, make: Make) -> None:
    """Let a worker of its own read the one image for each stage."""
    for stage in roles.told.stages:
        await serve_stage(roles, make, Duty.of(roles.told, 1, stages=[stage]))


async def serve_stage(roles: Roles, make: Make, duty: Duty) -> None:
    """Let a worker read the one image for what it does."""
    drain = Drain()
    worker = await roles.worker(simulated(), references=make(), duty=duty, drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: worker.settler.completed + worker.settler.failed)
        drain.ask()
        await ends(working)


async def test_the_worker_of_each_stage_reads_the_image(
    connections: Connections, tmp_path: Path, server: NaughtyServer, make: Make
):
    roles = Roles(connections, tmp_path, settings(stages=TWO_STAGES))
    await roles.offer(serve(server, 1))

    await serve_each_stage(roles, make)

    [caption] = await roles.captions()
    assert [outcome.stage for outcome in caption.outcomes] == ["look", "tell"]
    assert caption.sample.sha256 == hashlib.sha256(jpeg(1)).hexdigest()


async def test_an_image_that_changes_between_stages_is_a_dead_letter(
    connections: Connections, tmp_path: Path, server: NaughtyServer, make: Make
):
    roles = Roles(connections, tmp_path, settings(stages=TWO_STAGES))
    first, then = naughty.whole(jpeg(1)), naughty.whole(jpeg(2))
    await roles.offer([Reference(server.on("/a", first, then))])

    await serve_each_stage(roles, make)

    letter = (await roles.dead())["00000.jpg"]
    assert (letter.failure.reason, letter.failure.stage) == ("image_changed", "tell")


async def test_an_image_that_other_settings_shrink_otherwise_is_still_the_same(
    connections: Connections, tmp_path: Path, server: NaughtyServer, make: Make
):
    roles = Roles(connections, tmp_path, settings(stages=TWO_STAGES))
    await roles.offer([Reference(server.serve("/large", jpeg(1, side=300)))])

    for side, stage in zip((128, 64), TWO_STAGES, strict=True):
        told = settings(stages=TWO_STAGES, images=ImagesConfig(max_side=side))
        await serve_stage(roles, make, Duty.of(told, 1, stages=[stage]))

    [caption] = await roles.captions()
    assert [outcome.stage for outcome in caption.outcomes] == ["look", "tell"]


async def test_a_drain_hands_back_what_is_being_downloaded(
    roles: Roles, server: NaughtyServer, make: Make
):
    await roles.offer([Reference(server.on(f"/{n}", naughty.silent)) for n in range(5)])
    drain = Drain()
    worker = await roles.worker(simulated(), references=make(), drain=drain)
    async with running(worker.run()) as working:
        await until(lambda: len(server.seen) == 5)
        drain.ask()
        await ends(working)

    leases = await (await roles.work_queue()).claim(10)
    assert [lease.attempt for lease in leases] == [1] * 5


async def test_no_client_is_made_where_nothing_refers_elsewhere(roles: Roles):
    def connect() -> Client:
        raise AssertionError

    reading = References(connect, Hub(), at_once=64, max_bytes=LARGEST)
    await roles.offer([jpeg(0)])

    await ends((await roles.worker(simulated(), references=reading)).run())

    assert len(await roles.captions()) == 1


async def test_an_archive_that_was_replaced_gives_no_image_of_another(
    roles: Roles, server: NaughtyServer, make: Make
):
    url = server.serve("/0.tar", jpeg(1), 'ETag: "new"')
    size = len(jpeg(1))
    same, other = Reference(url, 0, size, version='"new"'), Reference(url, 0, size, version='"old"')
    await roles.offer([same, other])

    await ends((await roles.worker(simulated(), references=make())).run())

    assert [caption.sample.id for caption in await roles.captions()] == ["00000.jpg"]
    assert (await roles.dead())["00001.jpg"].failure.reason == "changed"
