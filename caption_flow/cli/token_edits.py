"""Command line: tokens are added, changed and removed, by whatever way the job is reached."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from msgspec.structs import replace

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant, Role
from caption_flow.queue.ports.tokens import Tokens

_AGAIN = "Its token was edited by somebody else just now. Nothing was changed; look again."


async def add(tokens: Tokens, grant: Grant, listed: Iterable[Grant], *, instead: bool) -> None:
    """Add a token; `instead`: in the place of the one that its owner has, if there is one."""
    known = await tokens.grants()
    owner = next((one for one in (*known, *listed) if one.sha256 == grant.sha256), None)
    if owner is not None and not (instead and _same(owner, grant)):
        raise CaptionFlowError(
            f'This token is that of "{owner.name}" as {owner.role} already; each needs another.'
        )
    former = next((one for one in known if _same(one, grant)), None)
    if former is not None and not instead:
        raise CaptionFlowError(
            f'"{grant.name}" has a token as {grant.role} already. --replace puts this one in its '
            "place, --keep-token changes what that one allows; or use another name."
        )
    if not await tokens.put(grant, instead_of=None if former is None else former.sha256):
        raise CaptionFlowError(_AGAIN)


async def change(tokens: Tokens, grant: Grant) -> None:
    """Let the token that its owner has allow something else."""
    known = await tokens.grants()
    former = next((one for one in known if _same(one, grant)), None)
    if former is None:
        raise CaptionFlowError(unknown(grant.name, known))
    kept = replace(grant, sha256=former.sha256, added=former.added)
    if not await tokens.put(kept, instead_of=former.sha256):
        raise CaptionFlowError(_AGAIN)


async def remove(tokens: Tokens, name: str, roles: Sequence[Role]) -> list[Role]:
    """Remove the tokens of a name; answers as what it had some."""
    return [role for role in roles if await tokens.remove(name, role) is not None]


def unknown(name: str, known: Iterable[Grant]) -> str:
    """Say that a name has no token, and which was meant perhaps."""
    near = get_close_matches(name, {grant.name for grant in known}, n=1)
    meant = f'; did you mean "{near[0]}"?' if near else '. "caption-flow auth list" shows all.'
    return f'The job\'s Redis has no such token of "{name}"{meant}'


def _same(one: Grant, other: Grant) -> bool:
    return (one.name, one.role) == (other.name, other.role)
