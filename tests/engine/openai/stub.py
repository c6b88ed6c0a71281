"""A server that speaks OpenAI's protocol as well, or as badly, as a test wants."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

from msgspec import Struct

from caption_flow.lifecycle import cancel


class Call(Struct, frozen=True):
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float  # seconds on the monotonic clock

    @property
    def content(self) -> Any:
        return self.body["messages"][-1]["content"]

    @property
    def prompt(self) -> str:
        content = self.content
        return content if isinstance(content, str) else content[-1]["text"]

    @property
    def image(self) -> bytes:
        return b64decode(self.content[0]["image_url"]["url"].partition(",")[2])


class Reply(Struct, frozen=True):
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    cut: int | None = None  # bytes of the body after which the connection breaks


def completion(text: str | None = "a caption", **more: Any) -> Reply:
    message = {"role": "assistant", "content": text}
    answer = {
        "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    return Reply(body=json.dumps(answer | more).encode())


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return Reply(status, body, headers or {})


Behaviour = Callable[[Call], Awaitable[Reply]]


async def well(_: Call) -> Reply:
    return completion()


TRIAL = "What is this?"  # which no test asks itself
LISTED = Reply(body=b'{"object": "list", "data": [{"id": "tiny"}, {"id": "theirs"}]}')


class Stub:
    """The server; `calls` are those of tests, `trials` those of the engine itself."""

    def __init__(
        self, behaviour: Behaviour = well, models: Reply | None = None, port: int = 0
    ) -> None:
        self.behaviour = behaviour
        self.models = models or LISTED
        self.calls: list[Call] = []
        self.trials: list[Call] = []
        self.inside = 0
        self.most_inside = 0
        self.port = port
        self._serving: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [call.prompt for call in self.calls]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await cancel(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await self._exchange(reader, writer):
                pass
        self._open.discard(writer)
        writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split()
        if method == "GET":
            reply = self.models
        else:
            now = asyncio.get_running_loop().time()
            call = Call(path, headers, json.loads(body), now)
            (self.trials if call.prompt == TRIAL else self.calls).append(call)
            reply = await self._counted(call)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
        lines = [f"{name}: {value}" for name, value in (fields | reply.headers).items()]
        head_out = "\r\n".join([f"HTTP/1.1 {reply.status} X", *lines, "", ""])
        writer.write(head_out.encode() + reply.body[: reply.cut])
        await writer.drain()
        return reply.cut is None

    async def _counted(self, call: Call) -> Reply:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            return await self.behaviour(call)
        finally:
            self.inside -= 1
