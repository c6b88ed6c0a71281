"""Command line: what `bench` found, as a table and what to change, and as JSON."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from caption_flow.bench.ceiling import Pace
from caption_flow.bench.cost import per_thousand
from caption_flow.bench.findings import findings
from caption_flow.bench.result import EnginePaces, Result
from caption_flow.engine.cache import CacheUse
from caption_flow.monitor import wording
from caption_flow.plain import printable

_SHOWN = 10  # images that were left out
_FEW = 200  # captions over which a pace says little


class Wish(Struct, frozen=True):
    """What is to be reckoned from it."""

    gpu_price: float | None  # of a GPU for an hour, in whatever currency
    images: int


def as_json(result: Result, wish: Wish) -> str:
    """Write all as one object."""
    told: dict[str, Any] = {
        "ceiling": result.ceiling,
        "pipeline": result.steady.rate,
        "share": result.share,
        "output_tokens_per_second": result.tokens,
        "prompt_tokens_per_caption": _each(result, result.answers.prompt_tokens),
        "output_tokens_per_caption": _each(result, result.answers.output_tokens),
        "images": wish.images,
        "seconds": wish.images / result.steady.rate,
        "gpus": result.gpus,
        "cost_per_1000_captions": _cost(result, wish),
        "findings": findings(result),
        "engines": [_engine(engine) for engine in result.engines],
        "run": {
            **asdict(result.steady),
            **asdict(result.fed),
            "written": result.written,
            "failed": result.failed,
        },
        "left_out": result.bad,
    }
    return msgspec.json.encode(told).decode() + "\n"


def as_text(result: Result, wish: Wish, console: Console) -> str:
    """Write it for people."""
    with console.capture() as captured:
        console.print(report(result, wish))
    if console.is_terminal:
        return captured.get()
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def report(result: Result, wish: Wish) -> RenderableType:
    """Show it to people."""
    shown: list[RenderableType] = [_table(result, wish), Text()]
    found = findings(result)
    if found:
        shown.append(Text("What to change", "bold"))
        for one in found:
            shown.append(Text(f"  {printable(one.measured)}"))
            shown.append(Text(f"    {printable(one.change)}", "green"))
    else:
        shown.append(Text("Nothing to change, by what was measured."))
    return Group(*shown, *(Text(printable(line), "dim") for line in _notes(result)))


def _table(result: Result, wish: Wish) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value, how in _lines(result, wish):
        table.add_row(Text(name, "bold"), Text(value), Text(printable(how), "dim"))
    return table


def _lines(result: Result, wish: Wish) -> Iterator[tuple[str, str, str]]:
    for engine in result.engines:
        for number, pace in enumerate(engine.paces):
            name = "Engine by itself" if number == 0 else ""
            yield name, f"{wording.rate(pace.rate)}", _how(engine, pace)
        if engine.after is not None:
            yield (
                "Once more, after it all",
                wording.rate(engine.after.rate),
                _how(engine, engine.after),
            )
        if (cache := engine.ceiling.cache) is not None:
            yield "KV cache", wording.share(cache.highest), _cached(cache)
    steady = result.steady
    yield (
        "Whole pipeline",
        wording.rate(steady.rate),
        f"{steady.captions:,} captions in {steady.seconds:.1f} s; "
        f"a slot free {steady.free:.0%} of the time",
    )
    yield "Share", wording.share(result.share), "of the ceiling"
    prompt, output = result.answers.prompt_tokens, result.answers.output_tokens
    yield (
        "Tokens",
        f"{result.tokens:,.0f}/s",
        f"{_each(result, prompt):,.0f} of prompt and {_each(result, output):,.0f} of output "
        "per caption",
    )
    yield f"{wish.images:,} images", wording.span(wish.images / steady.rate), "at this pace"
    if (cost := _cost(result, wish)) is not None:
        on = f"{result.gpus} GPUs" if result.gpus > 1 else "1 GPU"
        yield "1,000 captions", f"{cost:.4g}", f"on {on} at {wish.gpu_price:g} an hour each"


def _how(engine: EnginePaces, pace: Pace) -> str:
    failed = f", {pace.failed} failed" if pace.failed else ""
    return (
        f"{engine.model or engine.engine}, {pace.load} requests at once: "
        f"{pace.captions:,} captions in {pace.seconds:.1f} s{failed}"
    )


def _cached(cache: CacheUse) -> str:
    prefixes = "no prefix cache"
    if cache.reused is not None:
        prefixes = f"{cache.reused:.0%} of the tokens of prompts come from its prefix cache"
    return f"full at most, {cache.filled:.0%} on average; {prefixes}"


def _notes(result: Result) -> Iterator[str]:
    for engine in result.engines:
        if engine.after is not None and engine.unsteady:
            yield (
                f"{engine.model or engine.engine} by itself made {engine.paces[0].rate:.4g} "
                f"captions/s before the pipeline and {engine.after.rate:.4g} after it: something "
                "else is at work on this machine. Measure when it is quiet."
            )
    if result.fed.repeated:
        yield "The images are fewer than the samples of the pipeline: they were repeated."
    if min(result.steady.captions, *(e.ceiling.captions for e in result.engines)) < _FEW:
        yield "Few captions were measured; a larger --seconds tells more."
    if any(engine.engine == "simulated" for engine in result.engines):
        yield "The engine is simulated: its figures say nothing of a model."
    for bad in result.bad[:_SHOWN]:
        yield f"Left out {bad.image}: {bad.reason}, {bad.detail}"
    if len(result.bad) > _SHOWN:
        yield f"{len(result.bad):,} images were left out; --json names all."


def _engine(engine: EnginePaces) -> dict[str, Any]:
    after = None if engine.after is None else _pace(engine.after)
    paces = [_pace(pace) for pace in engine.paces]
    return {**asdict(engine), "paces": paces, "after": after, "unsteady": engine.unsteady}


def _pace(pace: Pace) -> dict[str, Any]:
    return {**asdict(pace), "captions_per_second": pace.rate}


def _each(result: Result, tokens: int) -> float:
    return tokens / result.answers.captions


def _cost(result: Result, wish: Wish) -> float | None:
    if wish.gpu_price is None:
        return None
    return per_thousand(result.steady.rate, wish.gpu_price, result.gpus)
