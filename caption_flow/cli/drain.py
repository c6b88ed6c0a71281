"""`caption-flow drain`: let one process of a job end cleanly, wherever it runs."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

import click

from caption_flow.cli.asking import asking
from caption_flow.cli.ordering import ask_operator, order_of_now
from caption_flow.config import JobConfig
from caption_flow.errors import ConfigError
from caption_flow.plain import printable
from caption_flow.queue.ports import Member, Operator

_HEARING = {"worker", "feed"}  # roles that ask for orders
_SHOWN = 5  # names in an error


@click.command("drain")
@click.argument("worker")
@asking("drain", through=True)
def command(config: JobConfig, worker: str) -> None:
    """Let one worker finish what it has begun, hand back the rest, and end.

    WORKER is its name, or as much of its beginning as no other has; a feeder's will do as well. The
    workers of a contributor begin with the contributor's name and a slash.
    """

    async def order(operator: Operator) -> str:
        name = _meant(worker, (await operator.members()).values())
        await operator.drain(name, order_of_now())
        return name

    click.echo(f"{printable(ask_operator(config, order))} ends once it has finished.")


def _meant(word: str, members: Iterable[Member]) -> str:
    """Find the one member that is meant."""
    names = sorted(m.name for m in members if m.role in _HEARING)
    found = [word] if word in names else [name for name in names if name.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f'{len(found)} names begin with "{word}": {_some(found)}. Say more.')
    near = get_close_matches(word, names, n=1) or names
    there = f"There is {_some(near)}." if near else "None is running."
    raise ConfigError(f'No worker of the job has a name that begins with "{word}". {there}')


def _some(names: Collection[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(printable, list(names)[:_SHOWN])) + more
