"""Making an engine: the one the job asks for, as the host can have it."""

import os
import sys

import msgspec
import pytest

from caption_flow.config.schema import SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.engine.make import make_engine, select_gpu
from caption_flow.engine.port import Engine
from caption_flow.engine.simulated import SimulatedEngine
from caption_flow.engine.vllm import VllmEngine
from caption_flow.errors import ConfigError
from caption_flow.lifecycle import Drain
from tests.made import settings

STAGE = Stage(name="one", model="tiny", prompts=("Describe.",))


def made(*stages: Stage, batch_size: int | None = None, **overrides: object) -> Engine:
    told = settings(engine="vllm", stages=stages or (STAGE,), batch_size=32)
    return make_engine(
        told,
        told.stages,
        overrides=overrides,
        batch_size=batch_size,
        trust_remote_code=False,
        share=1,
        drain=Drain(),
    )


def simulated(slots: int, batch_size: int | None) -> Engine:
    told = settings(simulated=SimulatedConfig(slots=slots), batch_size=32)
    return make_engine(
        told,
        told.stages,
        overrides={},
        batch_size=batch_size,
        trust_remote_code=False,
        share=1,
        drain=Drain(),
    )


def test_an_engine_is_told_how_many_processes_prepare_for_it():
    told = settings(engine="vllm", stages=(STAGE,), batch_size=32)
    engine = make_engine(
        told,
        told.stages,
        overrides={},
        batch_size=None,
        trust_remote_code=False,
        share=1,
        drain=Drain(),
        preparers=3,
    )

    assert isinstance(engine, VllmEngine)
    assert engine._wanted == 3


def test_a_simulated_job_has_a_simulated_engine():
    assert isinstance(simulated(64, None), SimulatedEngine)


@pytest.mark.parametrize(
    ("slots", "batch_size", "capacity"), [(64, None, 32), (8, None, 8), (64, 4, 4)]
)
def test_the_capacity_is_the_smallest_that_was_asked_for(
    slots: int, batch_size: int | None, capacity: int
):
    assert simulated(slots, batch_size).capacity == capacity


def test_what_a_simulated_engine_has_no_slot_for_waits_inside():
    assert (simulated(8, None).capacity, simulated(8, None).holds) == (8, 32)


def test_what_vllm_does_not_run_at_once_waits_inside():
    few = made(max_num_seqs=8)

    assert (few.capacity, few.holds) == (8, 32)
    assert (made().capacity, made().holds) == (32, 32)


def test_a_vllm_job_has_a_vllm_engine_with_the_jobs_capacity():
    engine = made()

    assert isinstance(engine, VllmEngine)
    assert (engine.model, engine.capacity) == ("tiny", 32)


def test_a_host_may_have_a_capacity_of_its_own():
    assert made(batch_size=3).capacity == 3


def test_a_host_may_have_the_model_elsewhere():
    assert made(model="/models/tiny").model == "/models/tiny"


def test_stages_of_one_engine_share_it():
    second = msgspec.structs.replace(STAGE, name="two", prompts=("Other.",))

    assert made(STAGE, second).model == "tiny"


async def test_without_vllm_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vllm", None)

    with pytest.raises(ConfigError, match=r"pip install caption-flow\[vllm\]"):
        await made().start()


async def test_an_engine_that_never_started_stops():
    await made().stop()


@pytest.fixture
def no_gpus_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.setenv(variable, "0")  # so that what a test sets is undone
        monkeypatch.delenv(variable)


@pytest.mark.usefixtures("no_gpus_named")
def test_a_gpu_is_named_to_every_maker():
    select_gpu(2)

    assert os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["HIP_VISIBLE_DEVICES"] == "2"


@pytest.mark.usefixtures("no_gpus_named")
def test_a_gpu_is_one_of_those_the_process_may_see(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")

    select_gpu(1)

    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bb"


@pytest.mark.usefixtures("no_gpus_named")
def test_a_gpu_that_the_process_may_not_see_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")

    with pytest.raises(ConfigError, match="gpu_id is 1, but CUDA_VISIBLE_DEVICES lets"):
        select_gpu(1)
