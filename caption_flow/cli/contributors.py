"""`caption-flow contributors`: who made how much; and what somebody made, taken back."""

import asyncio
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click
from msgspec import Struct

from caption_flow.audit.revoke import Revocation, Revoked
from caption_flow.cli import contributors_report as report
from caption_flow.cli.asking import Asked, asking, office_of
from caption_flow.cli.bar import Bar
from caption_flow.cli.choosing import moment
from caption_flow.cli.laned import lanes_in, refuse_lanes
from caption_flow.cli.printing import printing
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.dataset.credits import by_day
from caption_flow.dataset.parts import PartFolder
from caption_flow.errors import CaptionFlowError, ConfigError, StorageBlocked
from caption_flow.herald import member_name
from caption_flow.plain import printable
from caption_flow.queue.captions import RedisCaptionQueue
from caption_flow.queue.checks import RedisChecks
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.job import RedisJob
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Member
from caption_flow.queue.ports.checks import Disagreement
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.recall import RedisRecall
from caption_flow.sink.records import read_record
from caption_flow.sink.recovery import Recovery

FOLLOW_SECONDS = 2.0  # in which every proxy knows that a token is gone

_NEEDS_PARTS = (
    "--requeue takes rows out of the parts, which no proxy does. Give it where the Redis of the "
    "job and the folder of its parts are reached; without it, the token is removed."
)
_of_a_job = asking("contributors", through=True)


@click.group("contributors")
def command() -> None:
    """See who captioned how much; take back what somebody made.

    Captions and tokens are those of the rows in the parts.
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--markdown", is_flag=True, help="The leaderboard, for the card of a data set.")
@_of_a_job
def list_contributors(config: JobConfig, *, as_json: bool, markdown: bool) -> None:
    """List contributors, the most captions first."""
    if as_json and markdown:
        raise click.UsageError("Give --json or --markdown, and not both.")
    with office_of(config, "contributors") as job:
        found = job.ask(lambda office: office.contributors())
    with printing():
        if as_json:
            for one in found:
                click.echo(report.as_line(one))
        elif markdown:
            click.echo(report.markdown(found))
        elif found:
            report.show(report.table(found))
            click.echo(_sum_up(found))
        else:
            click.echo("No caption is in a part yet.")


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_of_a_job
def show_contributor(config: JobConfig, name: str, *, as_json: bool) -> None:
    """Show everything of one contributor."""
    with office_of(config, "contributors") as job:
        shown = job.ask(lambda found: _look(found, config, name))
    with printing():
        if as_json:
            click.echo(report.as_line(shown.contributor))
            return
        for line in report.in_full(shown.contributor, shown.days, shown.workers):
            click.echo(line)
        for line in report.disagreements(shown.disagreements):
            click.echo(line)


@command.command("revoke")
@click.argument("name")
@click.option(
    "--since",
    metavar="WHEN",
    callback=moment,
    help="What was made then or later: a date, a time, or how long ago, as in 2h or 3d.",
)
@click.option("--requeue", is_flag=True, help="Take back what it made, and caption that again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken back, and change nothing.")
@_of_a_job
def revoke_contributor(
    config: JobConfig, name: str, since: float | None, *, requeue: bool, yes: bool, dry_run: bool
) -> None:
    """Remove a contributor's token; with --requeue, take back what was made with it.

    Its rows are taken out of the parts, and their samples are fed and captioned again, as are those
    on their way, and its dead letters.
    """
    if since is not None and not requeue:
        raise click.UsageError("--since says how much --requeue takes back: give that too.")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("There is no terminal to ask on: give --yes to revoke it.")
    if not name:
        raise click.UsageError("The operator's own workers have no token.")
    if requeue and config.server:
        raise ConfigError(_NEEDS_PARTS)
    with office_of(config, "revoke") as job:
        wanted = _Wanted(config, name, since or 0.0, requeue)
        if dry_run or not yes:
            said = _say_plan(wanted, job.ask(lambda found: _survey(found, wanted)))
            if dry_run:
                click.echo(f"Would {said}.")
                return
            # Asked in no event loop: there a Ctrl-C would end the loop's task, not the question.
            click.confirm(f"{said[0].upper()}{said[1:]}?", abort=True)
        removed = job.ask(lambda found: _shut_out(found, name))
        click.echo(_REMOVED[removed].format(name=printable(name)))
        if requeue:
            _take_back(job, wanted)


class _Wanted(Struct, frozen=True):
    """What is to be taken back."""

    config: JobConfig
    name: str
    since: float  # seconds since the epoch
    requeue: bool


class _Shown(Struct, frozen=True):
    """What is shown of a contributor."""

    contributor: Contributor
    days: dict[str, int] | None
    workers: Sequence[Member]
    disagreements: Sequence[Disagreement]


def _take_back(job: Asked, wanted: _Wanted) -> None:
    async def run(found: Office) -> Revoked:
        with Bar() as bar:
            return await (await _revocation(found, wanted, bar)).run()

    done = job.ask(run)
    click.echo(f"Took back {_figures(done)}. Running roles caption them again.")
    if done.left:
        raise CaptionFlowError(" ".join(done.left))


async def _known(job: Office, name: str) -> Contributor:
    """Find a contributor, by its counters or by its token."""
    known = {one.name: one for one in await job.contributors()}
    tokens = {g.name for g in await job.grants() if g.role == "worker"}
    if name not in known and name not in tokens:
        near = get_close_matches(name, sorted({*known, *tokens}), 1)
        hint = f' Did you mean "{printable(near[0])}"?' if near and near[0] else ""
        raise CaptionFlowError(f'The job "{job.job}" knows no contributor "{name}".{hint}')
    return known.get(name, Contributor(name))


async def _look(office: Office, config: JobConfig, name: str) -> _Shown:
    contributor = await _known(office, name)
    members = (await office.snapshot()).members
    workers = [one for one in members if name and one.name.startswith(f"{name}/")]
    lanes = lanes_in(await office.settings())
    # Who comes through a proxy does not see the parts.
    if lanes > 1 or not isinstance(office, RedisJob):
        return _Shown(contributor, None, workers, ())
    days = await _days_of(office, config, name)
    return _Shown(contributor, days, workers, await RedisChecks(office).disagreements(name))


async def _days_of(job: RedisJob, config: JobConfig, name: str) -> dict[str, int] | None:
    told = await RedisRecall(job, stages=()).records()
    theirs = [part for part, value in told.items() if name in read_record(value).tally]
    return await asyncio.to_thread(_days, _folder(job, config), theirs, name)


def _days(folder: PartFolder, parts: Sequence[str], name: str) -> dict[str, int] | None:
    days: dict[str, int] = {}
    for part in parts:
        try:
            file = folder.opened(part)
        except StorageBlocked:  # it stands elsewhere, or was merged since
            return None
        with file:
            for day, count in by_day(file, name).items():
                days[day] = days.get(day, 0) + count
    return days


async def _survey(office: Office, wanted: _Wanted) -> Revoked | None:
    await _known(office, wanted.name)
    if not wanted.requeue:
        return None
    with Bar() as bar:
        return await (await _revocation(office, wanted, bar)).survey()


async def _revocation(job: Office, wanted: _Wanted, bar: Bar) -> Revocation:
    if not isinstance(job, RedisJob):
        raise ConfigError(_NEEDS_PARTS)
    settings = await job.settings()
    refuse_lanes(settings, job.job, "--requeue")
    if settings is None:
        raise CaptionFlowError(f'The job "{job.job}" has no settings any more.')
    told = Broadcast.decode(settings.document)
    captions = RedisCaptionQueue(job, name=member_name("revoke"), lease_seconds=told.lease_seconds)
    folder = _folder(job, wanted.config)
    return Revocation(
        RedisRecall(job, stages=[stage.name for stage in told.stages]),
        RedisDeadLetters(job.connections, job.job),
        folder,
        Recovery(captions, folder),
        contributor=wanted.name,
        since=wanted.since,
        chunk_size=wanted.config.chunk_size,
        see=bar.see,
    )


async def _shut_out(job: Office, name: str) -> bool:
    """Remove a token, and let go what is held with it; answers whether there was one."""
    await _known(job, name)
    removed = await job.remove(name, "worker")
    if removed is not None:
        await asyncio.sleep(FOLLOW_SECONDS)
    # Of proxies that hang, or have died.
    await job.hand_back(name)
    return removed is not None


def _folder(job: RedisJob, config: JobConfig) -> PartFolder:
    return PartFolder(Path(config.storage.data_dir), job.job)


def _say_plan(wanted: _Wanted, found: Revoked | None) -> str:
    first = f"remove the token of {printable(wanted.name)}"
    return first if found is None else f"{first} and take back {_figures(found)}"


def _figures(found: Revoked) -> str:
    return (
        f"{found.samples:,} samples: {found.rows:,} rows of {found.parts:,} parts, "
        f"{found.under_way:,} on their way, {found.letters:,} dead letters"
    )


def _sum_up(found: Sequence[Contributor]) -> str:
    lent = [one for one in found if one.name]
    captions = sum(one.credit.captions for one in lent)
    own = sum(one.credit.captions for one in found if not one.name)
    return f"{len(lent):,} contributors made {captions:,} captions, the operator's own {own:,}."


_REMOVED = {
    True: "Removed the token of {name}; its connections are closed.",
    False: (
        "{name} has no token in Redis; where one stands in a document of the proxies, take it out "
        "there."
    ),
}
