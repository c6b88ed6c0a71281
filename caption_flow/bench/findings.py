"""Bench: what to change, each with the figure that says so; nothing is said without one."""

from collections.abc import Iterator

from msgspec import Struct

from caption_flow.bench.result import EnginePaces, Result
from caption_flow.config.sizes import spelt

ENOUGH = 0.95  # of the ceiling: what a pipeline costs at best, and what measuring is off by
GAIN = 0.05  # of the pace, from which on a change is worth its trouble
BUSY = 0.9  # of all cores
CUT = 0.02  # of the answers
FULL = 0.98  # of a KV cache at most: then requests have waited for room in it
MOSTLY = 0.75  # of it on average
PREEMPTED = 0.02  # times for each caption
_SHORT = 0.1  # share of the time in which the engine had a free slot


class Finding(Struct, frozen=True):
    """One thing that could be better."""

    about: str  # in one stable word
    measured: str
    change: str


def findings(result: Result) -> list[Finding]:
    """Say what to change, what matters most first."""
    return [
        *_short(result),
        *(one for engine in result.engines for one in _load(engine)),
        *(one for engine in result.engines for one in _cache(engine)),
        *(one for engine in result.engines for one in _sides(engine)),
        *_answers(result),
    ]


def _short(result: Result) -> Iterator[Finding]:
    """Say what the engine waits for."""
    steady = result.steady
    if result.share >= ENOUGH:
        return
    told = f"The pipeline makes {result.share:.0%} of the ceiling"
    free = f"a slot of the engine is free {steady.free:.0%} of the time"
    busy = steady.machine_busy
    if busy is not None and busy >= BUSY:
        yield Finding(
            "cpu",
            f"{told}; all {result.cores} cores are {busy:.0%} busy, and {free}.",
            "More cores for this worker; or less work for them: smaller images "
            "(images.max_side), feeders and sinks on another host.",
        )
    elif steady.free < _SHORT:
        return  # the engine was full: what is missing is not the pipeline's
    elif steady.idle >= steady.free / 2:
        yield Finding(
            "preparing",
            f"{told}; {free}, {steady.idle:.0%} while the worker holds images for it. Its process "
            f"uses {steady.worker_cores:.1f} of {result.cores} cores.",
            "Smaller images (images.max_side), or more decode_threads of the worker.",
        )
    elif steady.limit in _CHANGES and steady.limit_share >= 1 / 2:
        yield Finding(
            steady.limit,
            f"{told}; {free}. At {steady.limit_share:.0%} of the looks: {steady.why}",
            _CHANGES[steady.limit],
        )
    else:
        yield Finding(
            "waiting",
            f"{told}; {free} without samples in the worker's hands.",
            "A longer bench (--seconds) tells whether that lasts.",
        )


_CHANGES = {
    "feeding": "A second feeder, on a host that reads the images faster.",
    "budget": "A larger budget of what the sentence names, if Redis has the memory.",
    "preparing": "More CPU for the worker, or a faster way to the images.",
    "sink": "A faster disk for storage.data_dir, or a second sink.",
}


def _load(engine: EnginePaces) -> Iterator[Finding]:
    best = max(engine.paces, key=lambda pace: pace.rate)
    now = engine.ceiling
    if best.load > now.load and best.rate >= (1 + GAIN) * now.rate:
        yield Finding(
            "batch_size",
            f"{_name(engine)} makes {best.rate:.4g} captions/s with {best.load} requests at once, "
            f"and {now.rate:.4g} with the {now.load} of now.",
            f"vllm.batch_size: {best.load}",
        )
    elif best.load < now.load and best.rate >= (1 + GAIN) * now.rate:
        yield Finding(
            "batch_size",
            f"{_name(engine)} makes {best.rate:.4g} captions/s with only {best.load} requests at "
            f"once, and {now.rate:.4g} with the {now.load} of now.",
            f"vllm.batch_size: {best.load}",
        )


def _cache(engine: EnginePaces) -> Iterator[Finding]:
    now = engine.ceiling
    if now.cache is None:
        return
    full = now.cache.highest >= FULL and now.cache.filled >= MOSTLY
    if full or now.cache.preempted >= PREEMPTED * now.captions:
        yield Finding(
            "kv_cache",
            f"The KV cache of {_name(engine)} is {now.cache.filled:.0%} full on average, "
            f"{now.cache.highest:.0%} at most; {now.cache.preempted:,} times in {now.captions:,} "
            "captions a request had to leave it, to be computed once more.",
            "A larger vllm.gpu_memory_utilization, or vllm.kv_cache_dtype: fp8.",
        )
    if engine.prompts > 1 and not now.cache.looked_up:
        yield Finding(
            "prefix_cache",
            f"{_name(engine)} computes the tokens of each image anew for each of its "
            f"{engine.prompts} prompts: it looks for none in its prefix cache.",
            "vllm.enable_prefix_caching: true",
        )


def _sides(engine: EnginePaces) -> Iterator[Finding]:
    if engine.sides is None:
        return
    now, enough = engine.sides.now, engine.sides.enough
    yield Finding(
        "max_side",
        f"{_name(engine)} sees the largest images in {now.tokens:,} tokens of prompt, the same at "
        f"{enough.side} pixels as at {now.side}, which take {spelt(now.bytes)} and "
        f"{now.decoding * 1e3:.0f} ms of decoding each instead of {spelt(enough.bytes)} and "
        f"{enough.decoding * 1e3:.0f} ms.",
        f"images.max_side: {enough.side}",
    )


def _answers(result: Result) -> Iterator[Finding]:
    answers = result.answers
    if answers.cut > CUT * answers.requests:
        yield Finding(
            "max_tokens",
            f"{answers.cut} of {answers.requests} answers ended because max_tokens was reached.",
            "A larger vllm.sampling.max_tokens, or a prompt that asks for less.",
        )
    for stage, count in answers.repeated.items():
        yield Finding(
            "prompts",
            f'{count} of the prompts of the stage "{stage}" are there already, word for word.',
            "Leave them out, unless several captions to one prompt are what you want.",
        )


def _name(engine: EnginePaces) -> str:
    return engine.model or engine.engine
