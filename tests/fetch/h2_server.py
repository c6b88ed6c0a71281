"""A real HTTP/2 server over TLS: its bodies by path, its requests and streams counted."""

import asyncio
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, RequestReceived
from h2.exceptions import ProtocolError

from tests.fetch.conftest import LOCAL


def certificate(folder: Path, name: str) -> Path:
    """Make a key and a certificate for a name, signed by itself, in one file."""
    file = folder / "host.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    made = ("-keyout", file, "-out", folder / "cert.pem")
    named = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    subprocess.run(
        ["openssl", *words.split(), *made, *named],
        check=True,
        capture_output=True,
    )
    with file.open("ab") as both:
        both.write((folder / "cert.pem").read_bytes())
    return file


def server_context(file: Path, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols(list(protocols))
    return context


class H2Server:
    """Serves bodies; a path that ends in "/endless" has none that ends."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.bodies: dict[str, bytes] = {}
        self.asked: list[dict[str, str]] = []
        self.connections = 0
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str, host: str) -> str:
        return f"https://{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        opening = asyncio.start_server(self._serve, LOCAL, 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        # Until none is left: one in its handshake is not served yet, and would be left open.
        while asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks:
                task.cancel()
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        wire = _Wire(self, writer)
        try:
            while data := await reader.read(65536):
                wire.receive(data)
                await writer.drain()
        except (OSError, ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class _Wire:
    """One connection."""

    def __init__(self, server: H2Server, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._writer = writer
        self._left: dict[int, bytes | None] = {}  # stream -> what is to be sent; None: no end
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._h2.initiate_connection()
        self._flush()

    def receive(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            self._take(event)
        for stream in list(self._left):
            self._send(stream)
        self._flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers = {bytes(k).decode(): bytes(v).decode() for k, v in event.headers}
            self._server.asked.append(headers)
            path = headers[":path"]
            body = self._server.bodies.get(path)
            status = "200" if body is not None or path.endswith("/endless") else "404"
            told = [("content-length", str(len(body)))] if body is not None else []
            self._h2.send_headers(event.stream_id, [(":status", status), *told])
            self._left[event.stream_id] = body if status == "200" else b""

    def _send(self, stream: int) -> None:
        while stream in self._left:
            left = self._left[stream]
            window = self._h2.local_flow_control_window(stream)
            size = min(window, self._h2.max_outbound_frame_size)
            if left == b"":
                self._h2.end_stream(stream)
                del self._left[stream]
            elif size <= 0:
                return
            else:
                chunk = bytes(size) if left is None else left[:size]
                self._h2.send_data(stream, chunk)
                self._left[stream] = None if left is None else left[size:]

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
