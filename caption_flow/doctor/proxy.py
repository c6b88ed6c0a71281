"""Doctor, the way through a proxy: the certificate it shows, the token, and what that allows."""

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from caption_flow.doctor.finding import Finding, ok, told
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Role
from caption_flow.remote.entrance import Entrance
from caption_flow.remote.knock import Visit, knock

CHECK = "proxy"
_CURE = "Ask the operator of the job, with this sentence."


class Answered(Struct, frozen=True):
    """What a proxy has said."""

    finding: Finding
    visit: Visit | None = None  # None: we were kept out


async def ask(way: Callable[[Role], Entrance]) -> Answered:
    """Knock, and say what came of it."""
    told_off = partial(told, CHECK, "problem", otherwise=_CURE)
    try:
        visit = await knock(way)
    except CaptionFlowError as exc:
        return Answered(told_off(exc))
    welcome = visit.welcome
    stages = f", for {', '.join(welcome.stages)}" if welcome.stages else ""
    said = (
        f"{way(visit.role).place} takes the token for that of {welcome.contributor}, as "
        f"{visit.role} of the job {welcome.job}{stages}."
    )
    return Answered(ok(CHECK, said), visit)
