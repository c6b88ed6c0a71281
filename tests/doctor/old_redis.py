"""A server that is too old: it says so, and nothing else."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

INFO = b"redis_version:6.2.14\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"


class _Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while (head := self.rfile.readline()).startswith(b"*"):
            words = [self._word() for _ in range(int(head[1:]))]
            told = b"$%d\r\n%s\r\n" % (len(INFO), INFO)
            self.wfile.write(told if words[0] == b"INFO" else b"+OK\r\n")

    def _word(self) -> bytes:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2].upper()


@contextmanager
def old_redis() -> Iterator[str]:
    """Serve as Redis 6.2; gives the URL."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answers) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
