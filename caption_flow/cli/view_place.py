"""Command line: what `view` looks at: the parts of a job, its data set and its dead letters."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.asking import office_of
from caption_flow.cli.naming import dataset_type, known_job
from caption_flow.cli.running import download_limits, embedded_directory, source_options
from caption_flow.config import JobConfig
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.pixels import IMPATIENT, MOST_BYTES, Pixels
from caption_flow.dataset.source import Source, open_source
from caption_flow.errors import CaptionFlowError, ConfigError
from caption_flow.fetch import DownloadLimits
from caption_flow.model import DeadLetter
from caption_flow.queue.embedded import running_url
from caption_flow.queue.office import Office
from caption_flow.view.letters import MOST, Letters

_NO_DATASET = "Say where its data set is, with --dataset PATH."
_NO_REDIS = (
    "Dead letters are not seen: no Redis is configured. Give --redis URL, or redis: in the "
    "document."
)


class Place(Struct, frozen=True):
    """A job to be looked at."""

    folder: PartFolder
    pixels: Pixels
    letters: Letters

    @property
    def name(self) -> str:
        """The name of the job, as its folder has it."""
        return self.folder.path.name


def found(config: JobConfig, where: Path | None) -> Place:
    """Find the job: a folder of parts, the name of a job, or the only one of the data directory."""
    folder, config = parts_of(config, where)
    letters, dataset = _asked(config)
    return Place(folder, _pixels(_with_dataset(config, dataset)), letters)


def parts_of(config: JobConfig, where: Path | None) -> tuple[PartFolder, JobConfig]:
    """Find the parts of a job, and settle by them what it is called and where its captions are."""
    folder = _folder(config, where)
    storage = replace(config.storage, data_dir=str(folder.parent))
    return PartFolder(folder.parent, folder.name), replace(config, job=folder.name, storage=storage)


def pixels_of(config: JobConfig) -> Pixels:
    """Read images with the patience that the settings have, and all that a worker would take."""
    if config.dataset.dataset_path is None:
        config = _with_dataset(config, _asked(config)[1])
    dataset = config.dataset
    return _pixels(
        config,
        download=download_limits(dataset.download),
        most_bytes=dataset.max_file_size,
        unknown="nobody told where they are",
    )


def cache_folder() -> Path:
    """Where search indexes are kept, one for each folder of parts."""
    above = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(above) / "caption-flow" / "view"


def _folder(config: JobConfig, where: Path | None) -> Path:
    """Find the folder of the parts, as an absolute path."""
    data_dir, job = Path(config.storage.data_dir), known_job(config)
    named = where if where is not None else Path(job) if job else None
    if named is None:
        return _only(data_dir)
    if where is not None and _has_parts(where):
        return where.resolve()
    # A job is mostly called like its data set, which may lie right here.
    inside = data_dir / named.resolve().name
    if inside.is_dir():
        return inside.resolve()
    if where is not None and _jobs(where):
        return _only(where)
    there = ", ".join(_jobs(data_dir)[:20]) or "none"
    raise ConfigError(
        f"{named} is neither a folder of part-*.parquet nor a job with captions in {data_dir}. "
        f"Jobs there: {there}."
    )


def _only(data_dir: Path) -> Path:
    jobs = _jobs(data_dir)
    if len(jobs) == 1:
        return (data_dir / jobs[0]).resolve()
    told = f"captions of {len(jobs)} jobs: {', '.join(jobs[:20])}" if jobs else "no captions"
    raise ConfigError(f"{data_dir} has {told}. Say which job, or name the folder of its parts.")


def _jobs(data_dir: Path) -> list[str]:
    try:
        return sorted(child.name for child in data_dir.iterdir() if _has_parts(child))
    except OSError:
        return []


def _has_parts(folder: Path) -> bool:
    with suppress(OSError):
        return any(folder.glob("part-*.parquet"))
    return False


def _asked(config: JobConfig) -> tuple[Letters, str | None]:
    """Ask the job's Redis for its dead letters, and which data set it is for."""
    ended = not (config.redis or running_url(embedded_directory(config)))
    if ended and not embedded_directory(config).exists():
        return Letters(None, _NO_REDIS), None
    try:
        with office_of(replace(config, server=None), "view", "monitor") as office:
            dataset, letters = office.ask(_first)
    except CaptionFlowError as exc:
        if ended:
            return Letters(None, f"Dead letters are not seen. {exc}"), None
        return Letters(partial(_newest, config)), None
    # A Redis of the job's own that has ended hears of no more of them.
    return Letters((lambda: letters) if ended else partial(_newest, config)), dataset


async def _first(office: Office) -> tuple[str | None, Sequence[DeadLetter]]:
    return await office.dataset(), await office.dead_letters(MOST)


def _newest(config: JobConfig) -> Sequence[DeadLetter]:
    url = config.redis or running_url(embedded_directory(config))
    if url is None:
        raise CaptionFlowError("These were the dead letters when the job's Redis ended.")
    with office_of(replace(config, server=None, redis=url), "view", "monitor") as office:
        return office.ask(_letters)


async def _letters(office: Office) -> Sequence[DeadLetter]:
    return await office.dead_letters(MOST)


def _with_dataset(config: JobConfig, told: str | None) -> JobConfig:
    """Name the data set that the job is for, unless the settings do."""
    if config.dataset.dataset_path is not None or not told:
        return config
    kind, _, path = told.partition(":")
    return replace(config, dataset=replace(config.dataset, type=kind, dataset_path=path))


def _pixels(
    config: JobConfig,
    *,
    download: DownloadLimits = IMPATIENT,
    most_bytes: int = MOST_BYTES,
    unknown: str = _NO_DATASET,
) -> Pixels:
    dataset = config.dataset
    opening: Callable[[], Source] | None = None
    if dataset.dataset_path is not None:
        # The source reads all images itself, wherever the workers of the job read theirs.
        options = replace(
            source_options(config),
            images="inline",
            download=download,
            max_file_size=min(dataset.max_file_size, most_bytes),
        )
        opening = partial(open_source, dataset_type(config), options)
    return Pixels(
        opening,
        allow_networks=dataset.allow_networks,
        download=download,
        max_bytes=most_bytes,
        unknown=unknown,
    )
