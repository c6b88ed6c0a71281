"""A client that says what a test wants it to say, frame by frame."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar, Self, TypeVar

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from caption_flow.config.broadcast import Broadcast, fingerprint
from caption_flow.model import Failure, Outcome, Sample
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    SUBPROTOCOL,
    Complete,
    Credit,
    Hello,
    ImageSent,
    SampleSent,
    Serve,
    Serving,
    Settled,
    Welcome,
    from_server,
    pack,
)
from tests.made import PATIENCE

F = TypeVar("F")
KIB = 1 << 10


class RawClient:
    """One connection. Frames that a test does not wait for are kept until it does."""

    opened: ClassVar[list["RawClient"]] = []  # since the test began

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.ids = count()
        self._reader = from_server()
        # Heard while another kind was waited for.
        self._kept: dict[type, deque[tuple[Any, bytes]]] = defaultdict(deque)

    @classmethod
    async def open(cls, url: str, token: str, **options: Any) -> Self:
        settings: dict[str, Any] = {
            "additional_headers": {"Authorization": f"Bearer {token}"},
            "subprotocols": [SUBPROTOCOL],
            "compression": None,
            "max_size": 80 << 20,
            "proxy": None,
        }
        client = cls(await connect(url, **(settings | options)))
        cls.opened.append(client)
        return client

    @classmethod
    async def enter(
        cls,
        url: str,
        token: str,
        *,
        member: str = "m1",
        resume: str = "",
        tickets: Sequence[str] = (),
        role: str = "worker",
        **options: Any,
    ) -> Self:
        client = await cls.open(url, token, **options)
        hello = Hello(role, member, "host", 1, "test", resume=resume, tickets=tuple(tickets))
        await client.say(hello)
        client.welcome = await client.hear(Welcome)
        return client

    welcome: Welcome

    async def say(self, frame: Any) -> None:
        await self.connection.send(pack(frame))

    async def hear(self, kind: type[F]) -> F:
        """Wait for the next frame of a kind."""
        return (await self.hear_all(kind))[0]

    async def hear_all(self, kind: type[F]) -> tuple[F, bytes]:
        """Wait for the next frame of a kind, with its payload."""
        if self._kept[kind]:
            return self._kept[kind].popleft()
        async with asyncio.timeout(PATIENCE):
            while True:
                frame, payload = self._reader.read(await self.connection.recv())
                if isinstance(frame, kind):
                    return frame, bytes(payload)
                self._kept[type(frame)].append((frame, bytes(payload)))

    async def ask(self, kind: type[Any], *fields: Any, answer: type[F]) -> F:
        """Make a request, and wait for its answer."""
        id_ = next(self.ids)
        await self.say(kind(id_, *fields))
        found = await self.hear(answer)
        assert found.id == id_
        return found

    async def serve(
        self,
        channel: int = 0,
        *,
        only: Sequence[str] | None = None,
        holding: Sequence[str] = (),
        former: Sequence[str] = (),
        tickets: Sequence[str] = (),
    ) -> Serving:
        return await self.ask(
            Serve,
            *(channel, None if only is None else tuple(only), tuple(former), tuple(holding)),
            tuple(tickets),
            answer=Serving,
        )

    async def credit(self, samples: int, bytes_: int = 64 * KIB, channel: int = 0) -> None:
        await self.say(Credit(channel, samples, bytes_))

    async def take(self, count_: int) -> list[SampleSent]:
        """Be given so many samples, on credit for them."""
        await self.credit(count_)
        return [await self.hear(SampleSent) for _ in range(count_)]

    async def image(self) -> tuple[ImageSent, bytes]:
        return await self.hear_all(ImageSent)

    async def complete(
        self, told: Broadcast, sent: Sequence[SampleSent], **changes: Any
    ) -> tuple[bool, ...]:
        done = tuple((one.entry, (record(told, one, **changes),)) for one in sent)
        return (await self.ask(Complete, 0, done, answer=Settled)).ours

    async def closed(self) -> tuple[int, str]:
        """Wait until the other end has closed; answers its code and reason."""
        with pytest.raises(ConnectionClosed) as caught:
            await self._listen()
        assert caught.value.rcvd is not None, "it did not say why"
        return caught.value.rcvd.code, caught.value.rcvd.reason

    async def refused(self, code: Close) -> None:
        """Wait until the other end has closed with this code, and a reason."""
        found, reason = await self.closed()
        assert found == code, reason
        assert reason

    async def _listen(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                frame, payload = self._reader.read(await self.connection.recv())
                self._kept[type(frame)].append((frame, bytes(payload)))

    async def quiet(self, kind: type[Any], seconds: float = 0.3) -> bool:
        """Whether no frame of a kind comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                await self.hear(kind)
        except TimeoutError:
            return True
        return False

    def cut(self) -> None:
        """Break the connection, as a network does."""
        self.connection.transport.abort()

    async def leave(self) -> None:
        await self.connection.close()


def sample_of(sent: SampleSent) -> Sample:
    return msgspec.json.decode(sent.sample, type=Sample)


def outcome(told: Broadcast, stage: str, **changes: Any) -> Outcome:
    """What an honest worker says that a stage made; `changes` make it a lie."""
    asked = next((each for each in told.stages if each.name == stage), told.stages[0])
    fields: dict[str, Any] = {
        "stage": stage,
        "outputs": {asked.output_field: ["a caption"]},
        "engine": "simulated",
        "model": "none",
        "prompts": fingerprint(asked),
        "prompt_tokens": 5,
        "output_tokens": 7,
        "finish_reasons": ["stop"],
        "settings_version": 1,
        "attempt": 77,
        "worker": "somebody",
        "contributor": "somebody",
        "captioned_at": 1.0,
    }
    return Outcome(**(fields | changes))


def record(told: Broadcast, sent: SampleSent, **changes: Any) -> bytes:
    stage = changes.pop("stage", sent.stage)
    return msgspec.json.encode(outcome(told, stage, **changes))


def failure(reason: str = "engine", **changes: Any) -> bytes:
    return msgspec.json.encode(Failure(reason, "it did not work", **changes))
