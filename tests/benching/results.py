"""A bench that found nothing, to be changed by each test."""

from typing import Any

from msgspec.structs import replace

from caption_flow.bench.asked import Answers
from caption_flow.bench.ceiling import Pace
from caption_flow.bench.result import EnginePaces, Fed, Result
from caption_flow.bench.steady import Steady
from caption_flow.engine.cache import CacheUse


def pace(load: int, rate: float) -> Pace:
    return Pace(load, captions=int(rate * 10), seconds=10.0, prompt_tokens=0, output_tokens=0)


FULL = Steady(980, 10.0, free=0.02, idle=0.0, worker_cores=0.5, machine_busy=0.4)
FINE = Result(
    engines=(EnginePaces("vllm", "M", ("caption",), 64, (pace(64, 100.0), pace(128, 101.0))),),
    answers=Answers(64, 64, 6400, 3200, cut=0, repeated={}),
    fed=Fed(2000, repeated=False),
    steady=FULL,
    written=2000,
    failed=0,
    bad=(),
    cores=8,
    gpus=1,
)


def starved(**changes: Any) -> Result:
    """A pipeline that leaves its engine with free slots for half of the time."""
    steady = replace(FULL, captions=500, free=0.5)
    return replace(FINE, steady=replace(steady, **changes))


ROOMY = CacheUse(0.3, 0.5, preempted=0, looked_up=1000, found=200)


def cached(cache: CacheUse, *, prompts: int = 1) -> Result:
    """An engine that tells of its cache."""
    first, *others = FINE.engines[0].paces
    paces = (replace(first, cache=cache), *others)
    return replace(FINE, engines=(replace(FINE.engines[0], paces=paces, prompts=prompts),))
