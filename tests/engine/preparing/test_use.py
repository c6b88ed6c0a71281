"""When an engine has its images prepared by processes."""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from caption_flow.engine.preparing.pool import Preparers
from caption_flow.engine.vllm import VllmEngine
from caption_flow.errors import BadImage, EngineDead, EngineRefused, EngineUnfit

STAGE = Stage("one", "tiny", ("Describe.",))


class Here:
    """vLLM, which prepares in this process."""

    errored = False
    default_chat_tok_params = None

    def __init__(self, cache_gb: float) -> None:
        images = SimpleNamespace(mm_processor_cache_gb=cache_gb)
        self.vllm_config = SimpleNamespace(model_config=SimpleNamespace(multimodal_config=images))
        self.renderer = self

    async def render_cmpl_async(self, *_: object) -> list[str]:
        return ["here"]


class There:
    """Processes that prepare, or say why they do not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def prepare(self, *_: object) -> str:
        if self.error is not None:
            raise self.error
        return "there"


def engine(pool: There) -> VllmEngine:
    made = VllmEngine("tiny", {}, (STAGE,), capacity=1, preparers=1)
    made._pool = pool  # type: ignore[assignment]
    return made


def request(*, image: bool) -> Request:
    stage = Stage("one", "tiny", ("Describe.",), image=image)
    return Request("r", "s", stage, "Describe.", b"x" if image else b"", sha256="abc")


@pytest.mark.parametrize(("image", "where"), [(True, "there"), (False, "here")])
async def test_processes_prepare_what_has_an_image(image: bool, where: str):
    pool: Any = There()
    assert await engine(pool)._inputs(Here(0), pool, {}, request(image=image)) == where


@pytest.mark.parametrize(
    "error", [BadImage("odd", "no"), EngineRefused("no"), EngineDead("stopped")]
)
async def test_what_processes_say_of_an_image_is_said_of_it(error: Exception):
    made = engine(There(error))
    made._llm, made._prompts = Here(0), SimpleNamespace(rendered=_nothing)

    with pytest.raises(type(error), match=str(error)):
        await made.caption(request(image=True))


async def _nothing(*_: object) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(("cache_gb", "used"), [(0, True), (4, False)])
async def test_images_go_undecoded_to_processes_where_no_cache_must_see_them_all(
    cache_gb: float, used: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    made = VllmEngine("tiny", {}, (), capacity=1, preparers=1)
    monkeypatch.setattr(made, "_load", lambda: Here(cache_gb))
    monkeypatch.setattr("caption_flow.engine.vllm.Prompts", lambda _: None)
    caplog.set_level("INFO")
    await made.start()

    assert (made._pool is not None, made.decodes) == (used, not used)
    assert ("No processes prepare images (preparers: 1)" in caplog.text) == (not used)


async def test_image_whose_prompt_is_made_when_the_engine_stops_is_not_refused():
    """It was asked of an engine that is no more, which is no fault of its."""
    going_on = asyncio.Event()

    async def rendered(*_: object) -> dict[str, Any]:
        await going_on.wait()
        return {}

    made = engine(Preparers(None, 1, slots=1, most=1))  # type: ignore[arg-type]
    made._llm, made._prompts = Here(0), SimpleNamespace(rendered=rendered)
    asked = asyncio.create_task(made.caption(request(image=True)))
    await asyncio.sleep(0)
    await made.stop()
    going_on.set()

    with pytest.raises(EngineDead):
        await asked


async def test_engine_does_not_start_where_no_process_does(monkeypatch: pytest.MonkeyPatch):
    absent = partial(Preparers, module="tests.engine.preparing.absent")
    monkeypatch.setattr("caption_flow.engine.vllm.Preparers", absent)
    monkeypatch.setattr("caption_flow.engine.vllm.Prompts", lambda _: None)
    monkeypatch.setattr("caption_flow.engine.preparing.processes.START_PAUSE", 0.01)
    made = VllmEngine("tiny", {}, (STAGE,), capacity=1, preparers="auto")
    monkeypatch.setattr(made, "_load", lambda: Here(0))
    monkeypatch.setattr(made, "rehearse", _nothing)

    with pytest.raises(EngineUnfit, match='"preparers: 0" does without'):
        await made.start()
    assert made.preparers == 1
    await made.stop()
    assert made.preparers == 0
