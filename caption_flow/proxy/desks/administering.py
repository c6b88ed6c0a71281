"""Proxy: what a session does for an operator who does not reach Redis.

Who has an admin token may do what the operator's commands do, but for what needs the parts: change
settings, give orders, edit tokens. Each such act is told in the proxy's log, with who did it.
"""

import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from caption_flow.errors import CaptionFlowError
from caption_flow.grants import Grant
from caption_flow.proxy.desk import Handler
from caption_flow.proxy.desks import brought
from caption_flow.proxy.desks.asking import AskDesk
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.operate import RedisOperator
from caption_flow.queue.ports import Order
from caption_flow.queue.recall import RedisRecall
from caption_flow.queue.tokens import RedisTokens
from caption_flow.wire import administering
from caption_flow.wire.closing import Breach, Close
from caption_flow.wire.feeding import Published
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import Refused

if TYPE_CHECKING:
    from caption_flow.proxy.session import Session

logger = logging.getLogger(__name__)

MOST_NAME = 100  # characters of a contributor's name

_SHA256 = re.compile(r"[0-9a-f]{64}")
_grant = msgspec.json.Decoder(Grant)


class AdminDesk(AskDesk):
    """Desk, see proxy/desk.py."""

    def __init__(self, session: "Session") -> None:
        super().__init__(session)
        self._job = job = session.common.job
        self._tokens = RedisTokens(job)
        self._operator = RedisOperator(job.connections, job.job)
        own: Mapping[type[Frame], Handler] = {
            administering.SettingsWanted: self._settings,
            administering.Reload: self._reload,
            administering.GiveOrder: self._order,
            administering.TokensWanted: self._list_tokens,
            administering.PutToken: self._put_token,
            administering.RemoveToken: self._remove_token,
            administering.ContributorsWanted: self._contributors,
            administering.HandBack: self._hand_back,
        }
        self.handlers = {**self.handlers, **own}

    async def _settings(self, wanted: administering.SettingsWanted, _payload: memoryview) -> None:
        """Tell them whole: who changes settings has to see all of them."""
        settings, owner = await self._job.settings(), await self._job.dataset()
        if settings is None:
            await self._session.outbox.answer(Published(wanted.id, 0, "", ""))
            return
        told = Published(wanted.id, settings.version, settings.by, owner or "")
        await self._session.outbox.send(told, settings.document)

    async def _reload(self, reload: administering.Reload, payload: memoryview) -> None:
        document = bytes(payload)
        try:
            stages = [stage.name for stage in brought.settings(document).stages]
        except CaptionFlowError as exc:
            await self._session.outbox.answer(Refused(reload.id, "unfit", str(exc)))
            return
        version = await self._job.reload(
            document, stages, instead_of=reload.instead_of, by=f"reload_config of {self._who}"
        )
        if version:
            logger.info("%s has published settings of version %d", self._who, version)
        answer = administering.Reloaded(reload.id, version or 0)
        await self._session.outbox.answer(answer)

    async def _order(self, given: administering.GiveOrder, _payload: memoryview) -> None:
        order, before = Order(self._who, time.time()), None
        if given.what == "pause":
            before = await self._operator.pause(order)
        elif given.what == "resume":
            before = await self._operator.resume()
        else:
            await self._operator.drain(given.member, order)
        logger.info("%s wants the job to %s %s", self._who, given.what, given.member)
        by, at = (before.by, before.at) if before else ("", 0.0)
        await self._session.outbox.answer(administering.OrderGiven(given.id, by, at))

    async def _list_tokens(self, wanted: administering.TokensWanted, _payload: memoryview) -> None:
        await self.report(wanted.id, await self._tokens.grants())

    async def _put_token(self, put: administering.PutToken, _payload: memoryview) -> None:
        grant = _read(put.grant)
        done = await self._tokens.put(grant, instead_of=put.instead_of)
        logger.info("%s has edited the token of %s as %s", self._who, grant.name, grant.role)
        await self.report(put.id, done)

    async def _remove_token(self, remove: administering.RemoveToken, _payload: memoryview) -> None:
        removed = await self._tokens.remove(remove.name, remove.role)
        logger.info("%s has removed the token of %s as %s", self._who, remove.name, remove.role)
        await self.report(remove.id, removed)

    async def _contributors(
        self, wanted: administering.ContributorsWanted, _payload: memoryview
    ) -> None:
        found = RedisContributors(self._job.connections, self._job.job)
        await self.report(wanted.id, await found.contributors())

    async def _hand_back(self, back: administering.HandBack, _payload: memoryview) -> None:
        ended = await RedisRecall(self._job, stages=()).hand_back(back.contributor)
        await self.report(back.id, ended)

    @property
    def _who(self) -> str:
        return f"{self._session.grant.name} on {self._session.hello.host}"


def _read(record: bytes) -> Grant:
    """Read a token that is to be good; raises Breach."""
    try:
        grant = _grant.decode(record)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise Breach(Close.MALFORMED, "A token cannot be read.") from exc
    name = grant.name
    named = name.isprintable() and name == name.strip() and 1 <= len(name) <= MOST_NAME
    limits = (grant.max_workers, grant.samples_per_minute, grant.bytes_per_day)
    bounded = all(limit is None or 0 < limit < 2**63 for limit in limits)
    if not (named and bounded and _SHA256.fullmatch(grant.sha256)):
        raise Breach(Close.MALFORMED, "A token has a name, a hash or a limit that cannot be.")
    return grant
