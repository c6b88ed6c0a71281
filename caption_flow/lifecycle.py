"""How a process ends: asked once it drains, asked twice it goes.

SIGTERM and SIGINT set an event that every role watches. What the event means is the role's.
"""

import asyncio
import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_FORCED = 1


class Drain:
    """The wish that a process ends cleanly."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Begin to drain."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether to drain."""
        return self._asked.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked, at most so long; True when asked."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            pass
        return self.asked

    def on_signals(self) -> None:
        """Drain at the first SIGTERM or SIGINT; end at once at the second."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self.asked:
            # Leases end by themselves, so that nothing is lost by going now.
            os._exit(EXIT_FORCED)
        self.ask()
