"""GPU: what NVML tells becomes figures, and where it tells nothing there are none.

A library of the same calls stands in for NVML: no machine of the tests needs a GPU.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from caption_flow.engine import gpu as module
from caption_flow.engine.gpu import Gpu, first
from caption_flow.engine.nvml import Card, cards, visible
from tests.roles import until

GIB = 1 << 30
A, B = Card(0, "GPU-one", "Card A", 80 * GIB, 79 * GIB, 0.5), Card(1, "GPU-two", "Card B", GIB, 0)


class Nvml(ModuleType):
    """Two GPUs: of the first all is told, of the second not how much it does."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.open = 0
        self.away = False
        self.lost: set[int] = set()

    def nvmlInit(self) -> None:  # noqa: N802 - so it is called
        if self.away:
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1
        if self.lost:
            raise self.NVMLError("Unknown Error")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        if index in self.lost:
            raise self.NVMLError("GPU is lost")
        return (A, B)[index]

    def nvmlDeviceGetName(self, handle: Card) -> Any:  # noqa: N802
        return handle.name.encode() if handle is A else handle.name  # older versions answer bytes

    def nvmlDeviceGetUUID(self, handle: Card) -> str:  # noqa: N802
        return handle.uuid

    def nvmlDeviceGetMemoryInfo(self, handle: Card) -> Any:  # noqa: N802
        return SimpleNamespace(total=handle.total, free=handle.free)

    def nvmlDeviceGetUtilizationRates(self, handle: Card) -> Any:  # noqa: N802
        if handle.use is None:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=100 * handle.use)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    library = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_gpus_are_as_the_library_tells(nvml: Nvml):
    assert cards() == [A, B]
    assert nvml.open == 0


def test_gpu_that_is_lost_costs_the_others_nothing(nvml: Nvml):
    nvml.lost.add(0)

    assert cards() == [B]
    assert nvml.open == 0


def test_driver_that_is_not_loaded_tells_nothing(nvml: Nvml):
    nvml.away = True

    assert cards() is None
    assert first({}) is None


def test_without_the_library_nothing_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)

    assert cards() is None


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (None, [A, B]),
        ("", []),
        ("1", [B]),
        ("1,0", [B, A]),
        (" GPU-two ", [B]),
        ("0,7,1", [A]),  # as CUDA does
        ("-1", []),
    ],
)
def test_process_sees_what_no_variable_hides(told: str | None, seen: list[Card]):
    assert visible([A, B], {} if told is None else {"CUDA_VISIBLE_DEVICES": told}) == seen


@pytest.mark.usefixtures("nvml")
def test_first_gpu_that_is_visible_is_ours():
    assert first({}) == A
    assert first({"CUDA_VISIBLE_DEVICES": "1,0"}) == B
    assert first({"CUDA_VISIBLE_DEVICES": ""}) is None


async def test_figures_are_those_of_the_last_look():
    async with Gpu(lambda: A) as gpu:
        await until(gpu.figures)

        assert gpu.figures() == {
            "gpu_memory_used": GIB,
            "gpu_memory_total": 80 * GIB,
            "gpu_use": 0.5,
        }
        assert gpu.facts() == {"gpu": "Card A (0)"}


async def test_share_that_is_not_told_is_no_figure():
    async with Gpu(lambda: B) as gpu:
        await until(gpu.figures)

        assert gpu.figures() == {"gpu_memory_used": GIB, "gpu_memory_total": GIB}


async def test_library_that_comes_with_vllm_is_found_once_that_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
):
    """The first looks are in vain, and so may any other be."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    looks = []

    def look() -> Card | None:
        looks.append(seen := first({}))
        return seen

    async with Gpu(look) as gpu:
        await until(lambda: len(looks) > 1)
        assert gpu.figures() == {}
        monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
        monkeypatch.setitem(sys.modules, "vllm.third_party", ModuleType("vllm.third_party"))
        monkeypatch.setitem(sys.modules, "vllm.third_party.pynvml", library := Nvml())
        await until(gpu.figures)
        library.away = True
        await until(lambda: not gpu.figures())
        library.away = False
        await until(gpu.figures)


async def test_machine_without_gpu_has_no_figures():
    async with Gpu(lambda: None) as gpu:
        assert (gpu.figures(), gpu.facts()) == ({}, {})
