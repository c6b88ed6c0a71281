"""A proxy that says what a test wants it to say, and keeps nothing."""

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from caption_flow.codec import records
from caption_flow.model import Sample
from caption_flow.wire.fields import Frame
from caption_flow.wire.frames import (
    SUBPROTOCOL,
    Beat,
    Credit,
    Hello,
    ImageSent,
    SampleSent,
    Serve,
    Serving,
    Welcome,
    from_client,
    pack,
)
from tests.made import PATIENCE
from tests.roles import until

T = TypeVar("T", bound=Frame)

WELCOME: dict[str, Any] = {
    "contributor": "ann",
    "resumes": False,
    "resume_seconds": 10.0,
    "lease_seconds": 60.0,
    "most_payload": 0,
}


class Visit:
    """One connection to it, after the welcome."""

    def __init__(
        self, wire: ServerConnection, hello: Hello, lost: tuple[str, ...], *, opens: bool
    ) -> None:
        self.wire = wire
        self.lost = lost  # of what it hears to be held
        self.hello = hello
        self.opens = opens  # channels, by itself
        self.serves: list[Serve] = []  # what it was told of them
        self.beats: list[Beat] = []
        self.credit = [0, 0]  # samples and bytes, given so far
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def next(self, kind: type[T]) -> T:
        """The next frame that is no beat, no credit and no channel; it is of this kind."""
        async with asyncio.timeout(PATIENCE):
            frame = await self._frames.get()
        assert isinstance(frame, kind), frame
        return frame

    async def send(self, frame: Frame, payload: bytes = b"") -> None:
        await self.wire.send([pack(frame), payload] if payload else pack(frame))

    async def give(self, *numbers: int, image: bytes | None = b"pixels", channel: int = 0) -> None:
        """Send samples of these numbers, with their images unless there are to be none."""
        for number in numbers:
            await self.send(sample_sent(number, channel, pushed=image is not None))
            if image is not None:
                await self.send(ImageSent(channel, entry(number)), image)

    async def credited(self, samples: int) -> None:
        """Wait until there is credit for so many samples."""
        await until(lambda: self.credit[0] >= samples)

    def cut(self) -> None:
        """End it as an accident would."""
        self.wire.transport.abort()

    async def read(self) -> None:
        reader = from_client()
        while True:
            frame, _ = reader.read(await self.wire.recv())
            if isinstance(frame, Credit):
                self.credit = [self.credit[0] + frame.samples, self.credit[1] + frame.bytes]
            elif isinstance(frame, Serve):
                self.serves.append(frame)
                if self.opens:
                    await self.send(Serving(frame.id, self.lost))
            elif isinstance(frame, Beat):
                self.beats.append(frame)
            else:
                self._frames.put_nowait(frame)


class StubProxy:
    """Listens on a port of 127.0.0.1."""

    def __init__(self, tls: ssl.SSLContext | None = None, **welcome: Any) -> None:
        self.welcome = WELCOME | welcome
        self.lost: tuple[str, ...] = ()  # what is another's when somebody comes back
        self.opens = True  # channels, by itself
        self.refusal: Response | None = None
        self.headers: list[Headers] = []  # of each request
        self._tls = tls
        self._visits: list[Visit] = []
        self._came = asyncio.Event()

    def refuse(self, status: int, sentence: str = "", **headers: str) -> None:
        """Let nobody in from now on."""
        told = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        body = sentence.encode()
        told["Content-Length"] = str(len(body))
        self.refusal = Response(status, HTTPStatus(status).phrase, told, body)

    @property
    def url(self) -> str:
        port = self.server.sockets[0].getsockname()[1]
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{port}"

    async def visit(self, number: int = 0) -> Visit:
        """The connection of this number, once it has said hello."""
        async with asyncio.timeout(PATIENCE):
            while len(self._visits) <= number:
                self._came.clear()
                await self._came.wait()
        return self._visits[number]

    async def __aenter__(self) -> Self:
        self.server: Server = await serve(
            self._talk,
            "127.0.0.1",
            0,
            process_request=self._judge,
            compression=None,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            ssl=self._tls,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    def _judge(self, _: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        return self.refusal

    async def _talk(self, wire: ServerConnection) -> None:
        try:
            hello, _ = from_client().read(await wire.recv())
            assert isinstance(hello, Hello)
            visit = Visit(wire, hello, self.lost, opens=self.opens)
            ticket = f"ticket {len(self._visits)}"
            await visit.send(Welcome(ticket=ticket, **self.welcome))
            self._visits.append(visit)
            self._came.set()
            await visit.read()
        except ConnectionClosed:
            pass


def entry(number: int) -> str:
    return f"1700000000000-{number}"


def sample_sent(number: int, channel: int = 0, **changes: Any) -> SampleSent:
    sample = Sample(f"{number:05}.jpg", "pictures", ".", ".:0", source=f"/{number:05}.jpg")
    fields: Mapping[str, Any] = {
        "channel": channel,
        "entry": entry(number),
        "stage": "caption",
        "sample": records.encode(sample),
        "image": entry(number),
        "attempt": 1,
        "outcomes": (),
        "failures": b"",
        "pushed": True,
    }
    return SampleSent(**{**fields, **changes})
