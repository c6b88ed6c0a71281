"""Remote: what monitors and operators ask of a job, through a proxy."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from caption_flow.codec import records
from caption_flow.errors import CaptionFlowError, Misunderstanding
from caption_flow.grants import Grant, Role
from caption_flow.model import Caption, DeadLetter
from caption_flow.queue.ports import Member, Order, Settings, Shard, Snapshot
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.remote.link import Link
from caption_flow.wire import administering as admin
from caption_flow.wire import asking
from caption_flow.wire.fields import Frame

T = TypeVar("T")


class RemoteInspector:
    """Inspector, see ports."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def snapshot(self) -> Snapshot:
        """Read the state of the job."""
        return await self._report(asking.SnapshotWanted(0), Snapshot)

    async def captions(self, count: int) -> list[Caption]:
        """Read the newest captions that are in no part yet."""
        wanted = asking.CaptionsWanted(0, min(count, asking.MOST_LETTERS))
        return await self._report(wanted, list[Caption])

    async def dead_letters(self, count: int) -> list[DeadLetter]:
        """Read the newest dead letters."""
        wanted = asking.LettersWanted(0, min(count, asking.MOST_LETTERS))
        return await self._report(wanted, list[DeadLetter])

    async def shards(self, after: str, count: int) -> list[Shard]:
        """Read so many shards that come after one, by name; "": from the first on."""
        name = after.encode("utf-8", "surrogatepass")
        wanted = asking.ShardsWanted(0, name, min(count, asking.MOST_LETTERS))
        return await self._report(wanted, list[Shard])

    async def columns(self, count: int) -> list[str] | None:
        """Name the columns of so many samples that are in a stage; None where none is."""
        wanted = asking.ColumnsWanted(0, min(count, asking.MOST_LETTERS))
        found: Any = await self._report(wanted, list[str] | None)  # type: ignore[arg-type]
        return found  # type: ignore[no-any-return]

    async def _report(self, frame: Frame, kind: type[T]) -> T:
        _, payload = await self._link.ask_with(frame)
        try:
            return records.decode(payload, kind)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise Misunderstanding(
                f"{self._link.place} tells what this version cannot read ({exc}). "
                "Install the version of caption-flow that it has."
            ) from exc


class RemoteOffice(RemoteInspector):
    """Office, see queue/office.py: all that an operator asks."""

    @property
    def job(self) -> str:
        """Name the job, as the proxy does."""
        return self._link.welcome.job

    @property
    def trouble(self) -> CaptionFlowError | None:
        """Say why there is no connection; None where there is one, as far as is known."""
        return self._link.failure or self._link.trouble

    # Settings

    async def settings(self) -> Settings | None:
        """Read the settings as they stand; None while nobody has published any."""
        told, document = await self._link.ask_with(admin.SettingsWanted(0))
        return Settings(told.version, bytes(document), told.by) if told.version else None

    async def dataset(self) -> str | None:
        """Name the data set that the job is for."""
        told, _ = await self._link.ask_with(admin.SettingsWanted(0))
        return str(told.dataset) or None

    async def reload(
        self,
        document: bytes,
        stages: Sequence[str],  # noqa: ARG002 - the proxy reads them itself
        *,
        instead_of: int,
        by: str,  # noqa: ARG002 - the proxy knows by whose token
    ) -> int | None:
        """Publish other settings instead of the version that was looked at; None: it was not."""
        told, _ = await self._link.ask_with(admin.Reload(0, instead_of), [document])
        return int(told.version) or None

    # Orders

    async def pause(self, order: Order) -> Order | None:  # noqa: ARG002 - likewise
        """Let nobody take on anything new; answers the order by which that is so already."""
        return await self._order(admin.GiveOrder(0, "pause"))

    async def resume(self) -> Order | None:
        """Let all go on; answers the order that was lifted, None where there was none."""
        return await self._order(admin.GiveOrder(0, "resume"))

    async def drain(self, member: str, order: Order) -> None:  # noqa: ARG002 - likewise
        """Let one process end cleanly."""
        await self._order(admin.GiveOrder(0, "drain", member))

    async def members(self) -> dict[str, Member]:
        """Read the last words of those who live, by role and name."""
        found = (await self.snapshot()).members
        return {f"{member.role}:{member.name}": member for member in found}

    async def _order(self, frame: admin.GiveOrder) -> Order | None:
        told, _ = await self._link.ask_with(frame)
        return Order(told.by, told.at) if told.by else None

    # Tokens and contributors

    async def grants(self) -> list[Grant]:
        """Read the tokens that are good or have expired."""
        return await self._report(admin.TokensWanted(0), list[Grant])

    async def put(self, grant: Grant, *, instead_of: str | None = None) -> bool:
        """Add a token, or put it in the place of another of its role and name, by SHA-256."""
        return await self._report(admin.PutToken(0, records.encode(grant), instead_of), bool)

    async def remove(self, name: str, role: Role) -> Grant | None:
        """Remove a token for good; answers what it was. None: there was none."""
        kind: Any = Grant | None
        found: Grant | None = await self._report(admin.RemoveToken(0, name, role), kind)
        return found

    async def contributors(self) -> list[Contributor]:
        """Read what is known of each, by name."""
        return await self._report(admin.ContributorsWanted(0), list[Contributor])

    async def hand_back(self, contributor: str) -> int:
        """End the leases of a contributor's workers, as their proxies do; answers how many."""
        return await self._report(admin.HandBack(0, contributor), int)
