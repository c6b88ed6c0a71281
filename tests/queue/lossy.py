"""A wire to Redis that can lose an answer: the command is done, and its sender never knows."""

import asyncio
from contextlib import suppress
from typing import Self

CHUNK = 1 << 20


class LossyWire:
    """Stands between a client and the server on a port of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._word: bytes | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}/0"

    def lose_answer_to(self, command: str) -> None:
        """Lose the next answer to a command, and with it the connection."""
        self._word = command.encode()

    @property
    def lost(self) -> bool:
        """Whether the answer is lost by now."""
        return self._word is None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port, limit=CHUNK)
        try:
            with suppress(ConnectionError):
                await self._relay(reader, writer, there, back)
        finally:  # also where it is cancelled, before it saw that the client has gone
            for end in (writer, back):
                end.transport.abort()

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        # One question and one answer at a time, as our client asks them.
        answers = asyncio.create_task(_pass_on(there, writer))
        try:
            while data := await reader.read(CHUNK):
                if self._word is not None and self._word in data:
                    self._word = None
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                    back.write(data)
                    await there.read(CHUNK)
                    return
                back.write(data)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
