"""`caption-flow bench`: how fast the engine is here, what a run makes of that, and its cost."""

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.bench import kept
from caption_flow.bench.asked import Answers, Asked, asked_of, refused
from caption_flow.bench.ceiling import Pace, loads, measured
from caption_flow.bench.cost import gpus
from caption_flow.bench.pool import Pool, chosen, read_pool, without
from caption_flow.bench.repeat import Enough
from caption_flow.bench.result import EnginePaces, Fed, Result
from caption_flow.bench.sides import sides
from caption_flow.bench.steady import steady
from caption_flow.cli.bench_pipeline import Ran, ran
from caption_flow.cli.bench_report import Wish, as_json, as_text
from caption_flow.cli.loading import Loading, loads_model
from caption_flow.cli.options import documented, overrides, publishing_config
from caption_flow.cli.printing import printing, results
from caption_flow.cli.running import run_async, source_of
from caption_flow.cli.selecting import selection_of
from caption_flow.cli.showing import console_here
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.gpu import first
from caption_flow.engine.port import Engine
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.lifecycle import Drain
from caption_flow.preview.loaded import Loaded
from caption_flow.preview.setting import Setting, tried
from caption_flow.preview.told import Shown
from caption_flow.worker.served import Served

logger = logging.getLogger(__name__)

SECONDS = 20.0  # of each measurement
LEAST_SAMPLES = 64  # of the pipeline
START_SECONDS = 30.0  # for a Redis, a feeder and a sink to begin
LONGEST = 4  # times the seconds, for a pipeline that is slower than its engine
_OTHER_LOADS = 1 / 3  # of the seconds


@click.command("bench")
@click.option(
    "--images",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder of images; without it the data set of the document.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.2),
    default=SECONDS,
    show_default=True,
    help="How long each measurement takes.",
)
@click.option("--gpu-price", type=click.FloatRange(min=0), help="Of a GPU for an hour.")
@click.option(
    "--of",
    "images",
    metavar="N",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Tell how long so many images take.",
)
@click.option("--json", "in_json", is_flag=True, help="Print one JSON object.")
@loads_model
@documented
def command(
    folder: Path | None,
    seconds: float,
    gpu_price: float | None,
    images: int,
    in_json: bool,
    explicit: Path | None,
    changes: tuple[str, ...],
    loading: Loading,
) -> int:
    """Measure the engine by itself, the share of that which a whole run gets, and what it costs.

    Takes the document that a run takes, and your own images. What to change is said with the figure
    behind it. Works in a temporary folder: no job is touched.
    """
    made = overrides(changes, dataset__dataset_path=folder, **loading.settings)
    config = _apart(publishing_config("run", explicit, made, dict(os.environ)), folder)
    loading.select_gpu()
    with results() as out:
        # Deleted when the loop has ended and no thread of it writes there any more.
        with TemporaryDirectory(prefix="caption-flow-bench-", ignore_cleanup_errors=True) as name:
            bench = _Bench(config, seconds, Path(name), replace(loading, watched=True))
            found = run_async(bench.run)
        if found is None:
            raise click.Abort
        wish = Wish(gpu_price, images)
        with printing(out):
            told = as_json(found, wish) if in_json else as_text(found, wish, console_here(out))
            out.write(told)
    return 0


def _apart(config: JobConfig, folder: Path | None) -> JobConfig:
    """Keep a bench away from the job that the document is for."""
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"--images {folder}: this is no folder.")
    kind = config.dataset.type if folder is None else "folder"
    dataset = replace(config.dataset, type=kind)
    apart = replace(config, job="bench", redis=None, server=None, metrics_port=None, lanes=1)
    return replace(apart, dataset=dataset)


class _Seat(Struct, frozen=True):
    """An engine that is loaded, and what it is for."""

    needed: Served
    engine: Engine
    names: tuple[str, ...]  # of its stages
    images: Sequence[Asked]


class _Bench:
    """All that is measured, one after the other."""

    def __init__(self, config: JobConfig, seconds: float, folder: Path, loading: Loading) -> None:
        self._config = config
        self._seconds = seconds
        self._folder = folder  # for the pipeline
        self._loading = loading
        self._found: Result | None = None

    @property
    def _longest(self) -> float:
        """How many seconds the pipeline has, with those in which it begins."""
        return LONGEST * self._seconds + START_SECONDS

    async def run(self, drain: Drain) -> Result | None:
        """Measure; None if asked to stop before the end."""
        await self._loading.during(drain, lambda loaded: self._measure(loaded, drain))
        return self._found

    async def _measure(self, loaded: Loaded, drain: Drain) -> None:
        pool = await asyncio.to_thread(self._pool, drain)
        setting = Setting.of(self._config, None, pool.raws)
        settings = setting.settings
        logger.info("Loading, and one round over %d images", len(pool.offers))
        shown: list[Shown] = []
        await tried(setting, loaded, drain, shown.append)
        pool = without(pool, refused(shown))
        if not pool.offers:
            raise CaptionFlowError(_none_captioned(pool))
        engines = await loaded.provide(settings, setting.needed)
        seats = [
            await _seat(each, engine, settings, pool, shown)
            for each, engine in zip(setting.needed, engines, strict=True)
        ]
        paces = [await self._paces(seat, settings) for seat in seats]
        ceiling = min(each.ceiling.rate for each in paces)
        fed, went, capacity = await self._pipeline(seats, pool, ceiling, drain)
        even = steady(went.looks, wanted=fed.samples, load=capacity)
        if not even.rate:
            raise CaptionFlowError(_none_made(went, self._longest))
        paces = [
            replace(each, after=await self._pace(seat, each.capacity))
            for seat, each in zip(seats, paces, strict=True)
        ]
        self._keep(seats, settings, min(each.ceiling.rate for each in paces))
        self._found = Result(
            engines=tuple(paces),
            answers=Answers.of(shown),
            fed=fed,
            steady=even,
            written=went.written,
            failed=went.dead,
            bad=pool.bad,
            cores=os.cpu_count() or 1,
            gpus=gpus(setting.needed),
        )

    def _pool(self, drain: Drain) -> Pool:
        # The engine is fed from memory: what workers would fetch is fetched here.
        inline = replace(self._config.dataset, images="inline", fetch=None)
        source = source_of(replace(self._config, dataset=inline))
        selection = selection_of(self._config.dataset)
        return read_pool(source, selection, self._config.images, lambda: not drain.asked)

    async def _paces(self, seat: _Seat, settings: Broadcast) -> EnginePaces:
        engine = seat.engine
        most = settings.simulated.slots if settings.engine == "simulated" else None
        now, *others = loads(engine.holds, most)
        first_ = await self._pace(seat, now)
        paces = (first_, *[await self._pace(seat, load, _OTHER_LOADS) for load in others])
        found = await sides(engine, seat.images, settings.images)
        return EnginePaces(
            engine=engine.name,
            model=engine.model,
            stages=seat.names,
            capacity=engine.holds,
            paces=paces,
            sides=found,
            prompts=sum(len(stage.prompts) for stage in seat.needed.stages if stage.image),
        )

    async def _pace(self, seat: _Seat, load: int, part: float = 1) -> Pace:
        logger.info("Measuring %s with %d requests at once", seat.engine.model, load)
        return await measured(seat.engine, seat.images, load=load, seconds=self._seconds * part)

    async def _pipeline(
        self, seats: Sequence[_Seat], pool: Pool, ceiling: float, drain: Drain
    ) -> tuple[Fed, Ran, int]:
        capacity = max(seat.engine.holds for seat in seats)
        wanted = max(LEAST_SAMPLES, round(ceiling * self._seconds) + 2 * capacity)
        images = Enough(self._folder / "images", wanted, lambda: not drain.asked)
        there = chosen(source_of(self._config), selection_of(self._config.dataset))
        dataset, again = await asyncio.to_thread(images.of, self._config.dataset, there, pool)
        storage = replace(self._config.storage, data_dir=str(self._folder / "captions"))
        config = replace(self._config, dataset=dataset, storage=storage)
        logger.info("Running %d samples through a whole pipeline", wanted)
        engines = {seat.needed.key: seat.engine for seat in seats}
        went = await ran(config, engines, drain, longest=self._longest, repeated=again)
        return Fed(wanted, again), went, capacity

    def _keep(self, seats: Sequence[_Seat], settings: Broadcast, ceiling: float) -> None:
        """Keep what was measured for the monitors of a job; of several engines none is told."""
        if len(seats) == 1:
            card = first(dict(os.environ))
            key = kept.key(settings, seats[0].names, card.name if card else "")
            kept.keep(kept.place(os.environ), key, ceiling)


async def _seat(
    needed: Served, engine: Engine, settings: Broadcast, pool: Pool, shown: Sequence[Shown]
) -> _Seat:
    names = tuple(stage.name for stage in needed.stages)
    images = await asyncio.to_thread(asked_of, engine, names, pool, shown, settings.images)
    return _Seat(needed, engine, names, images)


def _none_captioned(pool: Pool) -> str:
    if not pool.bad:
        return "There is no image to measure with. Name a folder of some with --images."
    first_ = pool.bad[0]
    return (
        f"No image could be captioned, of {len(pool.bad):,} that were tried. "
        f"{first_.image}: {first_.reason}, {first_.detail}"
    )


def _none_made(went: Ran, longest: float) -> str:
    if not went.dead:
        return f"The pipeline made no caption in {longest:g} s; --seconds gives it longer."
    why = ", ".join(f"{count:,} {reason}" for reason, count in went.reasons.items())
    return f"The pipeline made no caption; it gave up {went.dead:,} samples ({why})."
