"""`caption-flow dead`: look at the samples that were given up, and retry or drop them."""

import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import click

from caption_flow.cli.asking import Job, asking, job_of
from caption_flow.cli.bar import Bar
from caption_flow.cli.choosing import filtered, selection
from caption_flow.cli.exporting import as_line, export
from caption_flow.cli.laned import letters_at
from caption_flow.cli.letters import in_full, show_table, sum_up, survey
from caption_flow.cli.options import overrides
from caption_flow.cli.printing import printing
from caption_flow.config import JobConfig
from caption_flow.config.resampling import sampling_keys
from caption_flow.errors import CaptionFlowError
from caption_flow.feed.again import Retried, retry
from caption_flow.model import DeadLetter, EntryId
from caption_flow.queue.ports import DeadLetters, LetterFilter, Letters

T = TypeVar("T")

_of_a_job = asking("dead")
_ids = click.argument("ids", metavar="[ID]...", nargs=-1)
_every = click.option("--all", "every", is_flag=True, help="All dead letters of the job.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")

MOST_SHOWN = 1_000_000  # letters; for more there is `export`, which holds none in memory
_STDOUT = Path("-")
_SUFFIXES = {".jsonl": False, ".csv": True}


@click.group("dead")
def command() -> None:
    """Look at samples that were given up; retry or drop them.

    An ID is that of the sample, or of its letter in the stream of dead letters.
    """


@command.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_SHOWN),
    default=50,
    show_default=True,
    help="Most shown.",
)
@click.option("--oldest", is_flag=True, help="Show the oldest; without it, the newest.")
@_as_json
@filtered
@_of_a_job
def list_letters(
    config: JobConfig, wanted: LetterFilter, limit: int, oldest: bool, as_json: bool
) -> None:
    """List dead letters, with totals by reason."""
    found = _ask(config, lambda queue: survey(queue.letters(wanted), limit, oldest=oldest))
    with printing():
        if as_json:
            click.echo(b"".join(map(as_line, found.shown)), nl=False)
            return
        if found.shown:
            show_table(found.shown)
        click.echo(sum_up(found.totals, len(found.shown)))


@command.command("show")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_as_json
@filtered
@_of_a_job
def show_letters(
    config: JobConfig, wanted: LetterFilter, ids: tuple[str, ...], as_json: bool
) -> None:
    """Show everything of some dead letters."""
    search = Search(selection(wanted, ids, every=False))
    found = _ask(config, lambda queue: _all(search.letters(queue)))
    with printing():
        for letter in found:
            click.echo(as_line(letter) if as_json else in_full(letter), nl=not as_json)
    search.complain()


@command.command("retry")
@_ids
@_every
@click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Sampling to change for these samples, as in temperature=0.8; may be repeated.",
)
@filtered
@_of_a_job
def retry_letters(
    config: JobConfig,
    wanted: LetterFilter,
    ids: tuple[str, ...],
    every: bool,
    changes: tuple[str, ...],
) -> None:
    """Let samples be fed and captioned again."""
    sampling = sampling_keys(overrides(changes))
    search = Search(selection(wanted, ids, every=every))
    with Bar(speed=True) as bar:
        retried = _ask(
            config,
            lambda queue: retry(queue, _seen(search.letters(queue), bar, "retrying"), sampling),
        )
    with printing():
        click.echo(_told(retried))
    search.complain()


@command.command("drop")
@_ids
@_every
@click.option("--yes", is_flag=True, help="Do not ask.")
@filtered
@_of_a_job
def drop_letters(
    config: JobConfig, wanted: LetterFilter, ids: tuple[str, ...], every: bool, yes: bool
) -> None:
    """Forget samples that were given up.

    They are not fed again, and count as if the data set had never had them.
    """
    search = Search(selection(wanted, ids, every=every))
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on: give --yes to drop them.")
    with job_of(config, "dead") as job:
        newest = None if yes else _agreed(job, search.wanted)
        with Bar(speed=True) as bar:
            dropped = job.ask(
                lambda found: _drop(letters_at(found), search, newest, bar), laned=True
            )
    with printing():
        click.echo(f"Dropped {dropped:,} dead letters.")
    search.complain()


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@filtered
@_of_a_job
def export_letters(config: JobConfig, wanted: LetterFilter, file: Path) -> None:
    """Write dead letters to a file.

    The name of FILE ends in .jsonl or .csv and says which of the two it becomes; - stands for
    standard output, as JSON lines.
    """
    if file != _STDOUT and file.suffix not in _SUFFIXES:
        raise click.UsageError(f"FILE is {file}; its name must end in .jsonl or .csv, or be -.")
    as_csv = _SUFFIXES.get(file.suffix, False)
    with _written(file) as out, Bar(wanted=file != _STDOUT, speed=True) as bar:
        count = _ask(
            config,
            lambda queue: export(_seen(queue.letters(wanted), bar, "writing"), out, as_csv=as_csv),
        )
    click.echo(f"Wrote {count:,} dead letters to {file}.", err=file == _STDOUT)


class Search:
    """Looks for letters, and notes which of the ids asked for are found."""

    def __init__(self, wanted: LetterFilter) -> None:
        self.wanted = wanted
        self._missing = set(wanted.ids)

    async def letters(self, queue: DeadLetters) -> Letters:
        """Read what is meant."""
        async for batch in queue.letters(self.wanted):
            for letter in batch:
                self._missing -= {letter.entry, letter.sample.id}
            yield batch

    def complain(self) -> None:
        """Raise for ids that were not found."""
        if self._missing:
            raise CaptionFlowError(f"No dead letter fits {', '.join(sorted(self._missing))}.")


def _ask(config: JobConfig, question: Callable[[DeadLetters], Awaitable[T]]) -> T:
    with job_of(config, "dead") as job:
        return job.ask(lambda found: question(letters_at(found)), laned=True)


async def _all(letters: Letters) -> list[DeadLetter]:
    return [letter async for batch in letters for letter in batch]


def _agreed(job: Job, wanted: LetterFilter) -> EntryId:
    """Ask whether to drop those that fit; answers the newest of them."""
    count, newest = job.ask(lambda found: _count(letters_at(found), wanted), laned=True)
    # Asked in no event loop: there a Ctrl-C would end the loop's task, and not the question.
    if count:
        click.confirm(f"Drop {count:,} dead letters for good?", abort=True)
    return newest


async def _count(queue: DeadLetters, wanted: LetterFilter) -> tuple[int, EntryId]:
    count, newest = 0, "0-0"
    async for batch in queue.letters(wanted):
        count, newest = count + len(batch), max(newest, batch[-1].entry, key=_place)
    return count, newest


async def _seen(letters: Letters, bar: Bar, doing: str) -> Letters:
    """Pass letters on, and show how many are behind us."""
    count = 0
    async for batch in letters:
        yield batch
        bar.show(doing, count := count + len(batch), None)


async def _drop(queue: DeadLetters, search: Search, newest: EntryId | None, bar: Bar) -> int:
    """Drop what is meant, up to a letter: what has come after it nobody has agreed to."""
    dropped = 0
    async for batch in _seen(search.letters(queue), bar, "dropping"):
        meant = [one for one in batch if newest is None or _place(one.entry) <= _place(newest)]
        dropped += await queue.drop(meant)
    return dropped


def _place(entry: EntryId) -> tuple[int, ...]:
    # In which lane it is, does not tell when it came.
    return tuple(map(int, entry.rpartition("/")[2].split("-")))


def _told(retried: Retried) -> str:
    if not retried.samples:
        return "No dead letter fits; nothing is retried."
    return (
        f"Retried {retried.samples:,} samples in {retried.chunks:,} chunks. A running feeder "
        "feeds them; where the job has ended, start it again."
    )


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """Write a file that has its name only once it is whole."""
    if file == _STDOUT:
        with printing():
            yield sys.stdout.buffer
        return
    partial = file.with_name(f".{secrets.token_hex(8)}.partial")  # no longer than its own name
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(file)
    except OSError as exc:
        raise CaptionFlowError(f"{file} cannot be written: {exc.strerror}.") from exc
    finally:
        with suppress(OSError):  # where it could not be made
            partial.unlink()
