"""`caption-flow reload_config`: other settings for a job, while it runs."""

import os
import socket
import sys
from pathlib import Path

import click
from msgspec import Struct

from caption_flow.cli.asking import Asked, office_of
from caption_flow.cli.entering import entering
from caption_flow.cli.laned import refuse_other_lanes
from caption_flow.cli.naming import dataset_identity
from caption_flow.cli.options import data_options, overrides, publishing_config
from caption_flow.cli.printing import printing
from caption_flow.cli.reload_report import listed, unpublished
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.config.changes import Change, changes
from caption_flow.errors import CaptionFlowError, QueueUnfit
from caption_flow.feed.columns import MORE, refuse_missing
from caption_flow.queue.office import Office
from caption_flow.queue.ports import Settings

_NOTHING = "Nothing was published"


@click.command("reload_config")
@click.option("--dry-run", is_flag=True, help="Show what would change, and publish nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@entering
@data_options
def command(
    way: dict[str, object],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
    data_dir: Path | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Publish other settings for a job while it runs.

    Takes them from the document, variables and flags, as the job's feeder did; shows what changes
    and what workers must do for it, and asks. Another operator's change in between is not lost.
    """
    made = overrides(changes, redis=redis, job=job, storage__data_dir=data_dir, **way)
    config = publishing_config("reload_config", explicit, made, dict(os.environ))
    wanted = broadcast(config)
    with office_of(config, "reload") as asked:
        now = asked.ask(lambda found: _look(found, config))
        found = now.changes_to(wanted)
        if now.columns is not None:
            refuse_missing(config.needs(), now.columns, chosen=config.dataset.columns is not None)
        with printing():
            click.echo(f'Job "{now.job}", settings of version {now.settings.version}{_by(now)}.')
            click.echo("".join(f"{line}\n" for line in listed(found)), nl=False)
            if left := unpublished(config):
                click.echo(left)
        if not found:
            click.echo(f"Nothing changes; {_NOTHING.lower()}.")
        elif dry_run:
            click.echo(f"{_NOTHING}, as --dry-run asks.")
        else:
            _agree(yes=yes)
            version = _publish(asked, now, wanted)
            click.echo(f"Published as version {version}.")


class _Now(Struct, frozen=True):
    """The settings of a job as they were looked at, and of what they are for."""

    job: str
    settings: Settings
    columns: list[str] | None = None  # of some samples in its stages; None: there is none

    @property
    def told(self) -> Broadcast:
        """Their document."""
        return Broadcast.decode(self.settings.document)

    def changes_to(self, wanted: Broadcast) -> list[Change]:
        """Find what other settings would change."""
        return changes(self.told, wanted)


async def _look(job: Office, config: JobConfig) -> _Now:
    """Read the settings; refuse a document that is for another data set."""
    owner = await job.dataset()
    named = config.dataset.name or config.dataset.dataset_path
    if named and owner not in {None, dataset_identity(config)}:
        raise QueueUnfit(
            f'The job "{job.job}" on this Redis captions another data set, {owner}, and cannot '
            f"change to this one. {_NOTHING}. Name the job of yours with --job."
        )
    settings = await job.settings()
    if settings is None:  # it was there a moment ago
        raise CaptionFlowError(f'The job "{job.job}" is gone. {_NOTHING}.')
    refuse_other_lanes(settings, job.job, config.lanes)
    return _Now(job.job, settings, await job.columns(MORE))


def _agree(*, yes: bool) -> None:
    """Ask whether to publish what was shown."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"There is no terminal to ask on: give --yes to publish. {_NOTHING}."
            )
        click.confirm("Publish these changes?", abort=True)


def _publish(asked: Asked, now: _Now, wanted: Broadcast) -> int:
    stages = [stage.name for stage in wanted.stages]
    by = f"reload_config on {socket.gethostname()}"

    async def question(job: Office) -> int | _Now | None:
        published = now.settings.version
        version = await job.reload(wanted.encode(), stages, instead_of=published, by=by)
        if version is not None:
            return version
        later = await job.settings()
        return None if later is None else _Now(job.job, later)

    answer = asked.ask(question)
    if isinstance(answer, int):
        return answer
    if answer is None:
        raise CaptionFlowError(f'The job "{now.job}" is gone. {_NOTHING}.')
    met = "\n".join(listed(now.changes_to(answer.told)))
    raise CaptionFlowError(
        f"Version {answer.settings.version} came meanwhile{_by(answer)}. {_NOTHING}; look again.\n"
        f"It has changed:\n{met}"
    )


def _by(now: _Now) -> str:
    return f", from {now.settings.by}" if now.settings.by else ""
