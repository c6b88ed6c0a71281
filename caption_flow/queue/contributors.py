"""Queue: Contributors on Redis. One hash of a lane has all counters, named `NAME:counter`.

Captions and tokens are counted where rows become truth, by `commit`, `record`, `forget` and
`rewritten`; failures by `fail`. Who is checked against others is counted beside them.
"""

from collections import defaultdict
from typing import Any

from msgspec.structs import replace

from caption_flow.model import Credit
from caption_flow.queue.border import translated
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.tokens import RedisTokens


class RedisContributors(RedisJob):
    """Contributors, see ports."""

    async def contributors(self) -> list[Contributor]:
        """Read what is known of each, by name."""
        with translated():
            told = await self.client.hgetall(self.lane.contributors)
        counters: dict[str, dict[str, str]] = defaultdict(dict)
        for field, value in told.items():
            # A name may have colons.
            name, _, counter = field.decode().rpartition(":")
            counters[name][counter] = value.decode()
        hidden = await self._hidden()
        found = [_contributor(name, counters[name]) for name in sorted(counters)]
        return [replace(one, anonymous=hidden.get(one.name, one.anonymous)) for one in found]

    async def _hidden(self) -> dict[str, bool]:
        """Tell of each whose token is known here whether it wants not to be named."""
        grants = await RedisTokens(self).grants()
        return {grant.name: grant.anonymous for grant in grants if grant.role == "worker"}

    async def spent(self, contributor: str, seconds: float, *, anonymous: bool) -> None:
        """Add time that its workers were connected with work in hand; it was seen now."""
        arguments = [contributor, f"{seconds:.3f}", int(anonymous)]
        await self.scripts.run("spent", [self.lane.contributors], arguments)


def _contributor(name: str, told: dict[str, str]) -> Contributor:
    def number(counter: str, kind: Any = int) -> Any:
        return kind(told.get(counter, 0))

    return Contributor(
        name,
        Credit(*(number(counter) for counter in Credit.__struct_fields__)),
        failures=number("failures"),
        seconds=number("seconds", float),
        checked=number("checked"),
        agreed=number("agreed"),
        agreement=number("agreement", float),
        unanswered=number("unanswered"),
        first_seen=number("first_seen", float),
        last_seen=number("last_seen", float),
        anonymous=told.get("anonymous") == "1",
    )
