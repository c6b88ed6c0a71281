"""Whole runs against a server that speaks OpenAI's protocol."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml

from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, Ended
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.engine.openai.stub import TRIAL, Call, Reply, Stub, completion, error

__all__ = ["desk"]

KEY = "sk-very-secret-0123456789"


async def truthful(call: Call) -> Reply:
    """Say which image it was, as the simulated engine does."""
    if call.prompt == TRIAL:
        return completion()
    return completion(f"simulated caption {hashlib.sha256(call.image).hexdigest()[:32]}")


def document(folder: Path, *stubs: Stub) -> Path:
    pool = [{"base_url": stub.url, "api_key_env": "TEST_API_KEY"} for stub in stubs]
    told = {"engine": "openai", "openai": {"endpoints": pool}, "vllm": {"model": "tiny"}}
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


async def test_run_captions_each_image_with_its_own(desk: Desk):
    images = draw(desk.folder / "photos", 60)
    async with Stub(truthful) as one, Stub(truthful) as two:
        words = ("run", images, "--config", document(desk.folder, one, two))
        running = desk.start(*words, environ={"TEST_API_KEY": KEY})
        done = await asyncio.to_thread(running.wait)

    found = rows(desk.folder / "caption_data" / "photos")
    assert done.code == 0, done.words
    assert said(found) == sorted(digests(images).items())
    assert {(row["engine"], row["model"]) for row in found} == {("openai", "served")}
    assert {row["attempt"] for row in found} == {1}
    assert one.calls
    assert two.calls
    assert KEY not in done.words


Behave = Callable[[Call], Awaitable[Reply]]


async def work(desk: Desk, redis_url: str, behave: Callable[[Stub], Behave]) -> tuple[Ended, Job]:
    """Feed 60 images, and let one worker at them."""
    images = draw(desk.folder / "photos", 60)
    async with Stub() as stub:
        stub.behaviour = behave(stub)
        where = ("--redis", redis_url, "--job", "photos")
        words = ("feed", images, "--config", document(desk.folder, stub), *where)
        assert (await asyncio.to_thread(desk.run, *words)).code == 0
        worker = desk.start("worker", *where, environ={"TEST_API_KEY": KEY})
        return await asyncio.to_thread(worker.wait), Job(redis_url, "photos")


def key_ends_after(calls: int) -> Callable[[Stub], Behave]:
    def behave(stub: Stub) -> Behave:
        async def behaviour(call: Call) -> Reply:
            if len(stub.calls) > calls:
                return error(401, f"Incorrect API key provided: {KEY}")
            return await truthful(call)

        return behaviour

    return behave


async def test_worker_whose_only_server_refuses_it_ends_and_hands_all_back(
    desk: Desk, redis_url: str
):
    ended, job = await work(desk, redis_url, key_ends_after(10))

    assert ended.code == 2, ended.words
    assert "401 Incorrect API key" in ended.err
    assert "Check the key in TEST_API_KEY" in ended.err
    assert "Traceback" not in ended.err
    assert KEY not in ended.words
    assert job.count("completed") == 10
    assert job.length("dead") == 0
    assert job.cli("HLEN", job.key("failures")) == "0"
    assert job.length("samples:caption") == 50
    assert sum(job.pending("samples:caption").values()) in {0, 50}


async def test_key_that_is_wrong_from_the_start_touches_no_sample(desk: Desk, redis_url: str):
    ended, job = await work(desk, redis_url, key_ends_after(-1))

    assert ended.code == 2, ended.words
    assert "Check the key in TEST_API_KEY" in ended.err
    assert job.pending("samples:caption") == {}
