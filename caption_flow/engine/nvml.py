"""Engine: the GPUs of this machine, as NVML tells of them, and which of them a process sees."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from msgspec import Struct

logger = logging.getLogger(__name__)

_CUDA = "CUDA_VISIBLE_DEVICES"
# How the makers of each kind of GPU spell which ones a process may see.
CHOOSING = (_CUDA, "HIP_VISIBLE_DEVICES")
HIDING = (*CHOOSING, "ROCR_VISIBLE_DEVICES")  # those among which the one before chooses


class Card(Struct, frozen=True):
    """One GPU of this machine."""

    index: int  # among all, as nvidia-smi counts
    uuid: str  # "" where it is not told
    name: str  # as the maker calls it
    total: int  # bytes of memory
    free: int  # of them now
    use: float | None = None  # share of the last moments in which it did something, where told


def cards() -> list[Card] | None:
    """Look at all there are; None where NVML is not there, or does not answer."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as exc:
        logger.debug("NVML does not answer: %s", exc)
        return None
    try:
        return list(_cards(nvml))
    except nvml.NVMLError as exc:
        logger.debug("NVML does not tell of GPUs: %s", exc)
        return None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def visible(found: Sequence[Card], environ: Mapping[str, str]) -> list[Card]:
    """Leave out what a variable hides, which NVML does not mind; in the order of their ids."""
    listed = environ.get(_CUDA)
    if listed is None:
        return list(found)
    chosen: list[Card] = []
    for word in map(str.strip, listed.split(",")):
        card = next((one for one in found if _is_named(one, word)), None)
        if card is None:  # CUDA, too, sees those before the first that is not there
            break
        chosen.append(card)
    return chosen


def _is_named(card: Card, word: str) -> bool:
    return word == str(card.index) or (word.startswith("GPU-") and card.uuid.startswith(word))


def _nvml() -> Any:
    """Find the library: installed by itself, or in the vLLM that is loaded."""
    for name, needs in (("pynvml", ""), ("vllm.third_party.pynvml", "vllm")):
        if not needs or needs in sys.modules:  # vLLM takes seconds to load, for no figures
            with suppress(Exception):  # of any kind: it is not ours, and may look for what is away
                return import_module(name)
    return None


def _cards(nvml: Any) -> Iterator[Card]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            yield _card(nvml, index)
        except nvml.NVMLError as exc:  # of one that is lost; the others go on
            logger.debug("NVML does not tell of GPU %d: %s", index, exc)


def _card(nvml: Any, index: int) -> Card:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    name, uuid = nvml.nvmlDeviceGetName(handle), nvml.nvmlDeviceGetUUID(handle)
    use = None
    with suppress(nvml.NVMLError):  # not every kind tells
        use = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return Card(index, _text(uuid), _text(name), int(memory.total), int(memory.free), use)


def _text(told: str | bytes) -> str:
    return told.decode(errors="replace") if isinstance(told, bytes) else told
