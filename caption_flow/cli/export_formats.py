"""Command line: the formats of `export`, each made of what its options say."""

from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.cli.export_beside import Beside
from caption_flow.cli.saying import say
from caption_flow.errors import ConfigError
from caption_flow.export.formats.kinds import FileFormat, ParquetFormat, SampleFormat
from caption_flow.export.formats.lance import LanceFormat
from caption_flow.export.formats.webdataset import WebDatasetFormat
from caption_flow.export.formats.webshart import WebshartFormat
from caption_flow.export.hub.format import HubFormat, Upload
from caption_flow.export.images import Images
from caption_flow.export.ports import Format

ALL = "all"
ROWS_PER_FILE = 100_000
SAMPLES_PER_TAR = 10_000


class Details(Struct, frozen=True):
    """What concerns some of the formats only."""

    overwrite: bool
    rows_per_file: int | None  # None: as the format has it
    exact: bool  # CSV
    repo: str | None  # on the hub
    upload: Callable[[], Upload]  # lays out an upload to the hub, or says what it lacks
    beside: Beside = Beside()
    images: Callable[[], Images] | None = None  # None: they are not wanted
    named: Callable[[], Collection[str]] = tuple  # contributors that may be, on the hub

    def rows(self, usual: int = ROWS_PER_FILE) -> int:
        """Say how many rows each file has, where there are several."""
        return self.rows_per_file or usual

    def distinct(self, name: str) -> tuple[str, ...]:
        """Say what makes another output of a format, so that it is not gone on with."""
        beside = self.beside
        said = (self.rows_per_file, self.exact, beside.dataset, beside.captions_only)
        named = sorted(self.named()) if name == HUB else ()
        return (name, *map(str, said), str(beside.metadata), *named)


Make = Callable[[Path, Details], Format]


class Kind(Struct, frozen=True):
    """A format that may be asked for."""

    make: Make
    suffix: str  # of an output that nobody named, behind the name of the job
    tables: bool = True  # captions may have a row each
    lacks: Callable[[Details], str] = lambda _: ""  # what it needs and has not, to be one of all


KINDS: Mapping[str, Kind] = {
    "jsonl": Kind(lambda path, say: FileFormat(path, overwrite=say.overwrite), ".jsonl"),
    "json": Kind(
        lambda path, say: SampleFormat(path, overwrite=say.overwrite, text=False),
        "-json",
        tables=False,
    ),
    "csv": Kind(
        lambda path, say: FileFormat(path, overwrite=say.overwrite, csv=True, exact=say.exact),
        ".csv",
    ),
    "txt": Kind(
        lambda path, say: SampleFormat(path, overwrite=say.overwrite, text=True),
        "-txt",
        tables=False,
    ),
    "parquet": Kind(
        lambda path, say: ParquetFormat(path, overwrite=say.overwrite, rows_per_file=say.rows()),
        "-parquet",
    ),
    "webdataset": Kind(
        lambda path, say: WebDatasetFormat(
            path,
            overwrite=say.overwrite,
            samples_per_file=say.rows(SAMPLES_PER_TAR),
            images=say.images,
        ),
        "-webdataset",
        tables=False,
    ),
    "webshart": Kind(
        lambda path, say: WebshartFormat(
            path, overwrite=say.overwrite, metadata=say.beside.indexes()
        ),
        "-webshart",
        tables=False,
        lacks=lambda say: "" if say.beside.metadata else "--metadata",
    ),
    "lance": Kind(
        lambda path, say: LanceFormat(path, overwrite=say.overwrite, rows_per_file=say.rows()),
        ".lance",
        lacks=lambda _: "" if find_spec("lance") else 'pip install "caption-flow[lance]"',
    ),
}
HUB = "huggingface_hub"
NAMES = (*KINDS, HUB, ALL)
STREAMED = frozenset({"jsonl", "csv"})  # that may go to standard output


def outputs(name: str, job: str, named: str | None, details: Details) -> list[tuple[str, Format]]:
    """Make the formats that are asked for; ConfigError where an output is none for them."""
    if name == ALL:
        return _all(job, Path(named or f"{job}-export"), details)
    if name == HUB:
        return [(name, _hub(Path(named or f"{job}-hub"), details))]
    return [(name, KINDS[name].make(Path(named or f"{job}{KINDS[name].suffix}"), details))]


def _all(job: str, folder: Path, details: Details) -> list[tuple[str, Format]]:
    """Make all formats that can be, and tell of the others."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder, as --format all needs: name another --output.")
    if not details.beside.dataset:  # nobody said where the images are, which may be many
        details = replace(details, images=None)
    lacking = {name: kind.lacks(details) for name, kind in KINDS.items()}
    lacking[HUB] = "" if details.repo else "--hf-dataset"
    for name, needs in lacking.items():
        if needs:
            say(f"Left out: {name}, which needs {needs}.")
    made: list[tuple[str, Format]] = [
        (name, kind.make(folder / f"{job}{kind.suffix}", details))
        for name, kind in KINDS.items()
        if not lacking[name]
    ]
    return made if lacking[HUB] else [*made, (HUB, _hub(folder / f"{job}-hub", details))]


def _hub(folder: Path, details: Details) -> Format:
    return HubFormat(folder, details.upload(), rows_per_file=details.rows())
