"""A hub of models, as far as the doctor asks one: who may read, how large files are, a config."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CONFIG = json.dumps({"dtype": "bfloat16"}).encode()
WEIGHTS = 3 << 30  # bytes
_COMMIT = "0" * 40
_REFUSED = {"gated": (403, "GatedRepo"), "secret": (404, "RepoNotFound")}


class _Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        for name, (status, code) in _REFUSED.items():
            if name in self.path:
                self._send(status, b"{}", {"X-Error-Code": code})
                return
        if "/resolve/" in self.path:
            told = {"X-Repo-Commit": _COMMIT, "ETag": '"1"'}
            self._send(200, CONFIG, told)
        elif "auth-check" in self.path:
            self._send(200, b"{}", {})
        else:
            files = {"config.json": len(CONFIG), "model.safetensors": WEIGHTS, "a/b.bin": 1 << 40}
            siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
            answer = {"id": "org/open", "sha": _COMMIT, "siblings": siblings}
            self._send(200, json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub() -> Iterator[str]:
    """Serve it; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
