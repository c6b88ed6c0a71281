"""Doctor, the clocks: those of this host, of the server, the proxy and the members of a job."""

from collections.abc import Iterable, Iterator, Mapping

from caption_flow.doctor.finding import Finding, ok, problem, warning
from caption_flow.queue.ports import Member
from caption_flow.queue.ports.job import CLOCK_AHEAD

CHECK = "clocks"
APART = 5.0  # seconds that are worth a word; what tells of clocks has delays of its own
FAR_APART = 60.0  # from here on tokens, certificates and times in rows are wrong
_CURE = "Let NTP set the clocks of both hosts: timedatectl set-ntp true, or chrony."


def check_clocks(ahead: Mapping[str, float]) -> list[Finding]:
    """Compare clocks with ours: by whose they are, the seconds by which they are ahead."""
    found = [_apart(whose, seconds) for whose, seconds in ahead.items() if abs(seconds) >= APART]
    if found:
        return found
    most = max(map(abs, ahead.values()), default=0.0)
    return [ok(CHECK, f"{_several(ahead)} and this host are within {max(most, 0.1):.1f} s.")]


def members_ahead(members: Iterable[Member]) -> Iterator[tuple[str, float]]:
    """Give the hosts of members whose clock is not the server's, and by how much it is ahead.

    Who comes through a proxy is seen by the clock of that.
    """
    for member in members:
        ahead = member.figures.get(CLOCK_AHEAD, 0.0)
        if abs(ahead) >= APART and "/" not in member.name:
            yield f"{member.host} ({member.role} {member.name})", ahead


def _apart(whose: str, seconds: float) -> Finding:
    way = "ahead of" if seconds > 0 else "behind"
    said = f"The clock of {whose} is {abs(seconds):,.0f} s {way} that of this host."
    if abs(seconds) < FAR_APART:
        return warning(CHECK, f"{said} Times in rows and rates will be off.", _CURE)
    said += " Tokens and certificates may be refused, and members be taken for gone."
    return problem(CHECK, said, _CURE)


def _several(ahead: Mapping[str, float]) -> str:
    return " and ".join(ahead) if len(ahead) <= 2 else f"{len(ahead)} clocks"  # noqa: PLR2004
