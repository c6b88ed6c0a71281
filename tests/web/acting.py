"""A proxy that plays its part to the page: it answers what a test wants, or fails."""

import http
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct, field

from caption_flow.model import Counts
from caption_flow.monitor.report import document
from caption_flow.queue.ports import Member, Snapshot

NOW = 1_800_000_000.0
_PICTURE = "UklGRhwAAABXRUJQVlA4TA8AAAAvAUAAAAcQ/Y/+ByKi/wEA"  # 2 pixels wide and high
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Part(Struct):
    """What the proxy says, and what it was asked."""

    job: str = "photos"
    at: float = NOW
    token: str = ""  # that opens; empty: none is needed
    failing: dict[str, int] = field(default_factory=dict)  # path to status
    speaking: threading.Event = field(default_factory=threading.Event)  # else the state hangs
    made: bool = True  # pictures are
    rows: list[str] = field(default_factory=list)  # names of samples, the oldest first
    members: Sequence[Member] = ()
    pictures: list[list[str]] = field(default_factory=list)  # keys that were asked for together
    strange: bool = False  # the state is not what the page can read

    def answer(self, path: str, query: dict[str, list[str]], token: str) -> tuple[int, Any]:
        if path in self.failing:
            return self.failing[path], None
        if path == "/api/door":
            return 200, {"needs_token": bool(self.token)}
        if token != self.token:
            return 401, None
        return 200, getattr(self, path.removeprefix("/api/"))(query)

    def state(self, _: dict[str, list[str]]) -> Any:
        told = document(self.job, Snapshot(self.at, Counts(), tuple(self.members)))
        return told | {"books": None} if self.strange else told

    def captions(self, query: dict[str, list[str]]) -> Any:
        since = int(query["after"][0].partition("-")[2] or 0) if "after" in query else 0
        rows = [(f"k-{n}", _row(name)) for n, name in enumerate(self.rows, 1) if n > since]
        return {"mark": f"k-{len(self.rows)}", "rows": rows}

    def thumbnails(self, query: dict[str, list[str]]) -> Any:
        keys = query["keys"][0].split(",")
        self.pictures.append(keys)
        if not self.made:
            return {"ready": {}, "none": [], "later": keys}
        return {"ready": dict.fromkeys(keys, _PICTURE), "none": [], "later": []}


def _row(name: str) -> dict[str, Any]:
    lists: dict[str, Any] = {"captions": {"captions": [f"Of {name}."]}, "stages": [], "flags": []}
    words = {"id": name, "shard": "coast", "source": name, "contributor": ""}
    return words | lists | {"width": 8, "height": 6, "at": NOW, "facts": {}}


@contextmanager
def acting(part: Part) -> Iterator[str]:
    """Play a part; gives the address."""
    part.speaking.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/api/"):
                if url.path == "/api/state":
                    part.speaking.wait()
                said = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, told = part.answer(url.path, parse_qs(url.query), said)
                if told is not None:
                    self._send(status, "application/json", msgspec.json.encode(told))
                elif status == http.HTTPStatus.BAD_GATEWAY:  # somebody else's words
                    self._send(status, "text/html", b"<h1>Bad gateway</h1>")
                else:
                    self._send(status, "text/plain", b"Not now.")
                return
            name = url.path[1:] or "watch.html"
            asset = files("caption_flow.web") / "assets" / name
            self._send(200, _KINDS[name.rpartition(".")[2]], asset.read_bytes())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # nobody waits any more
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            part.speaking.set()
            server.shutdown()
            thread.join()
