"""`caption-flow export`: write finished captions in the formats that people train from."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import click
from msgspec.structs import replace

from caption_flow.cli.bar import Bar
from caption_flow.cli.export_beside import Beside, beside_options
from caption_flow.cli.export_facts import Told
from caption_flow.cli.export_formats import (
    NAMES,
    ROWS_PER_FILE,
    SAMPLES_PER_TAR,
    STREAMED,
    Details,
    outputs,
)
from caption_flow.cli.export_hub import Hub, hub_options
from caption_flow.cli.export_options import FormatName, refuse_unheeded
from caption_flow.cli.options import configured, job_config, overrides
from caption_flow.cli.printing import printing
from caption_flow.cli.saying import say
from caption_flow.cli.view_place import parts_of
from caption_flow.dataset.snapshot import snapshot
from caption_flow.errors import ConfigError
from caption_flow.export.choice import Pick
from caption_flow.export.export import Done, Exporter
from caption_flow.export.formats.kinds import FileFormat
from caption_flow.export.ports import Format
from caption_flow.export.report import stats_text
from caption_flow.export.wish import Wish

Named: TypeAlias = tuple[str, Format]
EXIT_FAILED = 1  # where samples were left out


@click.command("export")
@click.argument("where", metavar="[JOB or FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    metavar="FORMAT",
    type=FormatName(),
    default="jsonl",
    show_default=True,
    help=f"One of {', '.join(NAMES)}.",
)
@click.option(
    "--output",
    "-o",
    metavar="PATH",
    help='File or folder to write; "-" is standard output (jsonl, csv).',
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many samples.")
@click.option("--columns", metavar="NAMES", help="Only these columns, with commas between.")
@click.option(
    "--export-column",
    "captions",
    metavar="NAME",
    multiple=True,
    help="Column that holds captions; without it, all that stages wrote. May be repeated.",
)
@click.option(
    "--filename-column",
    "filename",
    metavar="NAME",
    default="id",
    show_default=True,
    help="Column that files of samples are named by.",
)
@click.option("--shard", metavar="NAME", multiple=True, help="Only this shard; may be repeated.")
@click.option(
    "--shards",
    metavar="PATTERNS",
    multiple=True,
    help="Only shards whose name matches, as in 'train/*'; with commas between, may be repeated.",
)
@click.option("--include-empty", is_flag=True, help="Samples without a caption, too.")
@click.option(
    "--where",
    "condition",
    metavar="CONDITION",
    help="Only samples for which this holds, as in 'width >= 512 and contains(captions, \"dog\")'.",
)
@click.option("--explode", is_flag=True, help="A row for each caption, instead of lists.")
@click.option(
    "--pick",
    metavar="RULE",
    help='One caption of each sample: first, longest, random:SEED, or "stage NAME".',
)
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
@click.option(
    "--rows-per-file",
    type=click.IntRange(min=1),
    help=f"Rows of each file, where there are several; {ROWS_PER_FILE:,}, "
    f"and {SAMPLES_PER_TAR:,} of a tar.",
)
@click.option(
    "--exact", is_flag=True, help="In CSV, leave texts that a spreadsheet would run as they are."
)
@click.option("--stats-only", is_flag=True, help="Write nothing; say what there is.")
@beside_options
@hub_options
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for captions.")
@configured
def command(
    where: Path | None,
    name: str,
    output: str | None,
    limit: int | None,
    columns: str | None,
    captions: tuple[str, ...],
    filename: str,
    shard: tuple[str, ...],
    shards: tuple[str, ...],
    include_empty: bool,
    condition: str | None,
    explode: bool,
    pick: str | None,
    overwrite: bool,
    rows_per_file: int | None,
    exact: bool,
    stats_only: bool,
    hub: Hub,
    beside: Beside,
    data_dir: Path | None,
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
) -> int:
    """Write the captions of finished parts, while the job runs or after it.

    Names a job, or the folder of its parts; without it, the only job of the data directory. Who is
    stopped goes on where he was with the same command.
    """
    refuse_unheeded(click.get_current_context(), name, stats_only=stats_only)
    if explode and pick:
        raise click.UsageError("--explode and --pick do not go together: all captions, or one.")
    wish = Wish(
        where=condition,
        shards=(*map(_literally, shard), *_listed(shards)),
        limit=limit,
        include_empty=include_empty,
        columns=_columns(columns),
        captions=captions,
        filename=filename,
        how="each" if explode else "one" if pick else "all",
        pick=Pick.of(pick) if pick else None,
    )
    said = beside.overrides()
    made = overrides(changes, redis=redis, job=job, storage__data_dir=data_dir, **said)
    config = job_config("export", explicit, made, dict(os.environ))
    folder, config = parts_of(config, where)
    told = Told(config)
    with snapshot(folder) as parts, Bar(speed=True) as bar:
        if not parts.names:
            raise ConfigError(f"{folder.path} has no finished parts yet. Export it later.")
        exporter = Exporter(parts, wish, bar.see)
        exporter.wish = _resolved(wish, exporter, told)
        upload = partial(hub.upload, told, exporter, bar, overwrite=overwrite)
        images = beside.images(config)
        details = Details(
            overwrite, rows_per_file, exact, hub.repo, upload, beside, images, told.nameable
        )
        if stats_only:
            _summarise(exporter, told)
            return 0
        if output == "-":
            _stream(exporter, name, details)
            return 0
        formats = outputs(name, folder.path.name, output, details)
        _refuse_inside(folder.path, formats)
        return 0 if _write(exporter, formats, details) else EXIT_FAILED


def _write(exporter: Exporter, formats: Sequence[Named], details: Details) -> bool:
    """Make all outputs; answers whether nothing was left out of any."""
    left_out = 0
    several = len(formats) > 1
    for name, format_ in formats:
        done = exporter.export(format_, *details.distinct(name), keep=several)
        _tell(done)
        left_out += done.left_out
    if several:
        for name, format_ in formats:
            exporter.forget(format_, *details.distinct(name))
    return not left_out


def _refuse_inside(folder: Path, formats: Sequence[Named]) -> None:
    """Refuse to write among the parts, whose folder is read whole."""
    for _, format_ in formats:
        output = Path(format_.output)
        if folder in {output.resolve(), output.resolve().parent}:
            raise ConfigError(f"{output} is in the folder of the parts: name another --output.")


def _resolved(wish: Wish, exporter: Exporter, told: Told) -> Wish:
    """Let a stage that was named stand for the column that it writes to.

    Where nobody knows the stages, the name of such a column may stand for itself.
    """
    pick = wish.pick
    if pick is None or not pick.output:
        return wish
    outputs = exporter.reader().shape.outputs
    output = told.output_of(pick.output) or pick.output
    if output not in outputs:
        raise ConfigError(
            f'--pick: no stage is called "{pick.output}", as far as is known; '
            f"stages wrote {', '.join(outputs) or 'nothing'}."
        )
    return replace(wish, pick=replace(pick, output=output))


def _stream(exporter: Exporter, name: str, details: Details) -> None:
    if name not in STREAMED:
        raise click.UsageError(f"--format {name} is no stream: name a folder as --output.")
    format_ = FileFormat(Path("-"), overwrite=False, csv=name == "csv", exact=details.exact)
    done = exporter.stream(format_, sys.stdout.buffer)
    say(f"Exported {_amount(done)} to standard output.")


def _summarise(exporter: Exporter, told: Told) -> None:
    summary = exporter.summary()
    hidden = told.hidden(summary.contributors)
    with printing():
        click.echo(stats_text(summary, hidden))


def _tell(done: Done) -> None:
    click.echo(f"Exported {_amount(done)} to {click.format_filename(done.output)}.")
    if done.newer:
        say(
            f"Parts that came since this export began, {done.newer:,}, are not in it: "
            "export again, with --overwrite."
        )
    if done.note:
        say(done.note)


def _amount(done: Done) -> str:
    rows = f" in {done.rows:,} rows" if done.rows != done.samples else ""
    count = done.samples - done.left_out
    return f"{count:,} sample{'s' if count != 1 else ''}{rows}"


def _columns(named: str | None) -> tuple[str, ...] | None:
    if named is None:
        return None
    names = tuple(_listed([named]))
    if not names:
        raise click.UsageError("--columns names none: leave it out for all.")
    return names


def _listed(texts: Sequence[str]) -> list[str]:
    return [one.strip() for text in texts for one in text.split(",") if one.strip()]


def _literally(name: str) -> str:
    """Spell a name as the pattern that only it matches."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)
