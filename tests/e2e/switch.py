"""An address that leads to one server and then to another, as a name does in a fail-over."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

CHUNK = 1 << 16


class Switch:
    """Listens on a port of 127.0.0.1 and passes connections on to another one."""

    def __init__(self, target: int, *, rate: float | None = None) -> None:
        """`rate`: bytes a second that each connection lets through each way; None: all."""
        self._target = target
        self._rate = rate
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def lead_to(self, port: int, *, cut: bool = True) -> None:
        """Lead elsewhere from now on, and cut the connections there are."""
        self._target = port
        if cut:
            self.cut()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """Cut the connections there are."""
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def _serve(self) -> None:
        with suppress(OSError):  # the door is closed
            while True:
                here, _ = self._door.accept()
                self._pass_on(here)

    def _pass_on(self, here: socket.socket) -> None:
        try:
            there = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            here.close()
            return
        self._ends += [here, there]
        for source, sink in ((here, there), (there, here)):
            threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
                if self._rate is not None:
                    time.sleep(len(data) / self._rate)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
