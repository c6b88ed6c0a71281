"""Screen: the terminal, taken over for a while and given back as it was, whatever happens."""

import asyncio
import logging
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

from rich.console import ConsoleDimensions, RenderableType
from rich.live import Live

from caption_flow.cli.screen.keys import Keys
from caption_flow.cli.showing import console_here

ESCAPE_SECONDS = 0.05  # after which the escape key is one, and not the beginning of a sequence
_SIGNALS = {
    signal.SIGTERM: "quit",
    signal.SIGINT: "quit",
    signal.SIGHUP: "quit",
    signal.SIGWINCH: "resize",
}
_READ = 1024  # bytes at a time
_NARROWEST, _LOWEST = 20, 6  # what is smaller is drawn as this, and cut off


def usable() -> bool:
    """Whether there is a terminal that can be drawn on, and keys to be read."""
    console = console_here()
    return console.is_terminal and not console.is_dumb_terminal and _is_terminal(sys.stdin)


def _is_terminal(stream: object) -> bool:
    with suppress(AttributeError, ValueError, OSError):
        return os.isatty(stream.fileno())  # type: ignore[attr-defined]
    return False


class Terminal:
    """A context: the whole screen is ours, each key comes at once, and signals are heard.

    `pressed` hears each key, "resize" when the terminal has another size, and "quit" when the
    process should end or nobody is there any more.
    """

    def __init__(self, pressed: Callable[[str], None]) -> None:
        self._console = console_here()
        self._pressed = pressed
        self._keys = Keys()
        self._waiting: asyncio.TimerHandle | None = None
        self._in = sys.stdin.fileno()
        self._out = sys.stdout.fileno()
        self._taken = ExitStack()

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._measure()
        self._take()
        self._loop.add_reader(self._in, self._read)
        for number, key in _SIGNALS.items():
            self._loop.add_signal_handler(number, self._heard, key)
        self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        return self

    def __exit__(self, *_: object) -> None:
        self._taken.close()
        self._loop.remove_reader(self._in)
        for number in (*_SIGNALS, signal.SIGTSTP):
            self._loop.remove_signal_handler(number)
        if self._waiting is not None:
            self._waiting.cancel()

    @property
    def ascii_only(self) -> bool:
        """Whether it shows no other letters."""
        return self._console.options.ascii_only

    @property
    def width(self) -> int:
        """How many columns it has."""
        return self._console.width

    @property
    def height(self) -> int:
        """How many lines it has."""
        return self._console.height

    def draw(self, made: RenderableType) -> None:
        """Show it on the whole screen."""
        self._live.update(made, refresh=True)

    def _heard(self, key: str) -> None:
        if key == "resize":
            self._measure()
        self._pressed(key)

    def _measure(self) -> None:
        """Take the size from the terminal itself: variables tell that of the beginning."""
        with suppress(OSError):  # gone; a signal says so, or the end of the keys
            columns, lines = os.get_terminal_size(self._out)
            self._console.size = ConsoleDimensions(max(_NARROWEST, columns), max(_LOWEST, lines))

    def _take(self) -> None:
        with ExitStack() as taken:
            taken.enter_context(_each_key(self._in))
            taken.enter_context(_silence())
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            taken.enter_context(self._live)
            self._taken = taken.pop_all()

    def _suspend(self) -> None:
        """Leave the terminal to the shell until it lets us go on."""
        self._taken.close()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._heard("resize")

    def _read(self) -> None:
        try:
            sent = os.read(self._in, _READ)
        except OSError:
            sent = b""
        if not sent:
            self._loop.remove_reader(self._in)
            self._pressed("quit")
            return
        if self._waiting is not None:
            self._waiting.cancel()
        for key in self._keys.feed(sent):
            self._pressed(key)
        if self._keys.pending:
            self._waiting = self._loop.call_later(ESCAPE_SECONDS, self._flush)

    def _flush(self) -> None:
        for key in self._keys.flush():
            self._pressed(key)


@contextmanager
def _each_key(descriptor: int) -> Iterator[None]:
    """Let each key come at once, and be shown nowhere."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield
    finally:
        with suppress(termios.error):  # gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep log lines off a screen: what they tell is shown there."""
    logger = logging.getLogger("caption_flow")
    before = logger.handlers[:]
    if _is_terminal(sys.stderr):
        logger.handlers[:] = [logging.NullHandler()]
    try:
        yield
    finally:
        logger.handlers[:] = before
