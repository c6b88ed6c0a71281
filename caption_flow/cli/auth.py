"""`caption-flow auth`: make, add, remove and list the tokens that let contributors in."""

import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import yaml

from caption_flow.cli import saying
from caption_flow.cli import token_edits as edits
from caption_flow.cli.asking import asking, office_of
from caption_flow.cli.printing import printing
from caption_flow.cli.token_limits import Limits, contributor, limited
from caption_flow.cli.token_table import Standing, as_json, show_tokens
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import ROLES, Grant, Role, digest, new_token
from caption_flow.queue.office import Office
from caption_flow.queue.ports.tokens import Tokens

T = TypeVar("T")

SHORTEST, LONGEST = 20, 500  # characters of a token that was not made here
_TOKEN = re.compile(rf"[!-~]{{{SHORTEST},{LONGEST}}}")
_HASH = re.compile(r"[0-9a-f]{64}")
_COMMANDS = {"worker": "worker", "feeder": "feed", "monitor": "monitor", "admin": "reload_config"}

_of_a_job = asking("auth", through=True)
_name = click.argument("name", callback=contributor)
_role = click.option("--role", type=click.Choice(ROLES), default="worker", show_default=True)


@click.group("auth")
def command() -> None:
    """Say who may come in through the proxy, with tokens.

    Proxies that run follow within a second. Only the SHA-256 of a token is kept.
    """


@command.command()
@click.argument("name", callback=contributor, default="NAME")
@_role
def generate(name: str, role: Role) -> None:
    """Make a token for a document; NAME is who will own it.

    Prints the token, its SHA-256, and what to write in the job's document. Asks no Redis.
    """
    token = new_token()
    entry = {"name": name, "token_sha256": digest(token)}
    document = {"auth": {f"{role}_tokens": [entry]}}
    with printing():
        click.echo(f"{token}\n\nIts SHA-256: {digest(token)}\nIn the document of the job:\n")
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        click.echo("The token is kept nowhere: give it to its owner now.")


@command.command()
@_name
@_role
@click.option("--token-sha256", metavar="HASH", help="SHA-256 of a token that was made elsewhere.")
@click.option("--token-stdin", is_flag=True, help="Read a token that was made elsewhere.")
@click.option("--replace", is_flag=True, help="Where NAME has a token, put this one in its place.")
@click.option("--keep-token", is_flag=True, help="Change what the token of NAME allows.")
@limited
@_of_a_job
def add(
    config: JobConfig,
    name: str,
    role: Role,
    token_sha256: str | None,
    token_stdin: bool,
    replace: bool,
    keep_token: bool,
    limits: Limits,
) -> None:
    """Let NAME in, with a new token that is shown once.

    With --keep-token, what is not said has no limit then.
    """
    if sum((token_sha256 is not None, token_stdin, keep_token)) > 1:
        raise click.UsageError("Give one of --token-sha256, --token-stdin and --keep-token.")
    sha256 = _given(token_sha256, stdin=token_stdin)
    token = None if sha256 or keep_token else new_token()
    grant = limits.grant(name, role, sha256 or digest(token or ""), time.time())

    async def question(office: Office) -> list[str]:
        if keep_token:
            await edits.change(office, grant)
        else:
            await edits.add(office, grant, config.auth.grants(), instead=replace)
        return await _strange_stages(office, grant)

    with office_of(config, "auth") as job:
        warnings = job.ask(question)
    with printing():
        if token:
            click.echo(f"{token}\n\nIt is kept nowhere. What {name} types:\n")
            click.echo(f"  export CAPTION_FLOW_TOKEN={token}\n  {_typed(config, role)}\n")
        done = "Changed" if keep_token else "Added"
        click.echo(f'{done} the token of "{name}" as {role}. Proxies follow within a second.')
    for warning in warnings:
        saying.warn(warning)


@command.command()
@_name
@click.option("--role", type=click.Choice(ROLES), help="Of this role only; without it, of all.")
@_of_a_job
def remove(config: JobConfig, name: str, role: Role | None) -> None:
    """Let NAME in no more.

    Its connections are closed within a second, and what it held goes to others. A token that
    stands in the job's document is good until it is taken out there.
    """
    roles = (role,) if role else ROLES
    removed = _ask(config, lambda tokens: edits.remove(tokens, name, roles))
    with printing():
        if removed:
            click.echo(f'Removed the token of "{name}" as {", ".join(removed)}.')
    listed = [one.role for one in config.auth.grants() if one.name == name and one.role in roles]
    if listed:
        keys = ", ".join(f"auth.{role}_tokens" for role in listed)
        raise CaptionFlowError(
            f'A token of "{name}" stands in the document, in {keys}, and is good until it is taken '
            "out there and the proxies are started again."
        )
    if not removed:
        raise CaptionFlowError(edits.unknown(name, _ask(config, lambda tokens: tokens.grants())))


@command.command("list")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line.")
@_of_a_job
def list_tokens(config: JobConfig, as_lines: bool) -> None:
    """List who may come in, and how far; no tokens, which nobody knows."""
    found = _ask(config, lambda tokens: tokens.grants())
    standing = [Standing(grant, "document") for grant in config.auth.grants()]
    standing += [Standing(grant, "Redis") for grant in found]
    with printing():
        if as_lines:
            click.echo(b"".join(map(as_json, standing)), nl=False)
            return
        if standing:
            show_tokens(standing)
        good = sum(not one.expired for one in standing)
        click.echo(f"{len(standing):,} tokens, {good:,} of them good.")


def _ask(config: JobConfig, question: Callable[[Tokens], Awaitable[T]]) -> T:
    with office_of(config, "auth") as job:
        return job.ask(question)


def _given(sha256: str | None, *, stdin: bool) -> str:
    """Read the SHA-256 of a token that was made elsewhere; empty: none was."""
    if stdin:
        return _hash_of(sys.stdin.readline().strip())
    if sha256 is not None and not _HASH.fullmatch(sha256):
        raise click.UsageError("--token-sha256 takes 64 hexadecimal digits in lower case.")
    return sha256 or ""


def _hash_of(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise click.UsageError(
            f"A token has {SHORTEST} to {LONGEST} characters of ASCII, no spaces, and nobody can "
            "guess it. Without --token-stdin one is made."
        )
    return digest(token)


def _typed(config: JobConfig, role: Role) -> str:
    """Spell what the owner of a token types after it; at Redis, only the host is not known."""
    scheme = "ws" if config.no_ssl else "wss"
    server = config.server or f"{scheme}://HOST:{config.port}"
    return f"caption-flow {_COMMANDS[role]} --server {server}"


async def _strange_stages(job: Office, grant: Grant) -> list[str]:
    settings = await job.settings()
    if settings is None:
        return []
    stages = [stage.name for stage in Broadcast.decode(settings.document).stages]
    strange = [name for name in grant.stages if name not in stages]
    return [f'The job has no stage "{name}"; it has {", ".join(stages)}.' for name in strange]
