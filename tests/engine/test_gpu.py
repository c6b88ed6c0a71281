"""GPU: what NVML tells becomes figures, and where it tells nothing there are none.

A library of the same calls stands in for NVML: no machine of the tests needs a GPU.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from caption_flow.engine.gpu import Glance, Gpu, device_of, look
from tests.roles import until

GIB = 1 << 30


class Nvml(ModuleType):
    """Two GPUs, of which one is called by its UUID too."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.open = 0
        self.away = False

    def nvmlInit(self) -> None:  # noqa: N802 - so it is called
        if self.away:
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index > 1:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        return {"GPU-two": 1}[uuid]

    def nvmlDeviceGetName(self, handle: int) -> Any:  # noqa: N802
        return [b"Card A", "Card B"][handle]  # older versions answer bytes

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=(handle + 1) * GIB, total=80 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=50 * (handle + 1))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    library = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_gpu_is_found_by_its_number(nvml: Nvml):
    assert look("0") == Glance("Card A", GIB, 80 * GIB, 0.5)
    assert nvml.open == 0


@pytest.mark.usefixtures("nvml")
def test_gpu_is_found_by_its_uuid():
    assert look("GPU-two") == Glance("Card B", 2 * GIB, 80 * GIB, 1.0)


def test_gpu_that_is_not_there_tells_nothing(nvml: Nvml):
    assert look("7") is None
    assert nvml.open == 0


def test_driver_that_is_not_loaded_tells_nothing(nvml: Nvml):
    nvml.away = True

    assert look("0") is None


def test_without_the_library_nothing_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delitem(sys.modules, "vllm", raising=False)

    assert look("0") is None


@pytest.mark.parametrize(
    ("visible", "device"), [(None, "0"), ("", "0"), ("2,3", "2"), (" GPU-two ", "GPU-two")]
)
def test_first_gpu_that_is_visible_is_ours(visible: str | None, device: str):
    assert device_of(visible) == device


@pytest.mark.usefixtures("nvml")
async def test_figures_are_those_of_the_last_look():
    async with Gpu("1", look) as gpu:
        await until(gpu.figures)

        assert gpu.figures() == {
            "gpu_memory_used": 2 * GIB,
            "gpu_memory_total": 80 * GIB,
            "gpu_use": 1.0,
        }
        assert gpu.facts() == {"gpu": "Card B (1)"}


async def test_machine_without_gpu_has_no_figures():
    async with Gpu("0", lambda _: None) as gpu:
        assert (gpu.figures(), gpu.facts()) == ({}, {})
