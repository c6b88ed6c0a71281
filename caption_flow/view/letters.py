"""View: the dead letters of a job, as far as they can be seen from here."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from caption_flow.errors import CaptionFlowError
from caption_flow.model import DeadLetter

logger = logging.getLogger(__name__)

MOST = 1000  # of the newest, that are shown
_GOOD_SECONDS = 5.0  # before they are asked for again


class Seen(Struct, frozen=True):
    """The newest dead letters."""

    letters: Sequence[DeadLetter] = ()  # newest first
    why: str = ""  # they are not seen, or not as they are now

    @property
    def reasons(self) -> Mapping[str, int]:
        """Count them by reason, the most frequent first."""
        return dict(Counter(letter.failure.reason for letter in self.letters).most_common())

    def fitting(self, words: str, reason: str) -> list[DeadLetter]:
        """Choose those that have this reason and in whose texts all these words stand."""
        wanted = words.casefold().split()
        return [
            letter
            for letter in self.letters
            if (not reason or letter.failure.reason == reason)
            and all(word in _text(letter) for word in wanted)
        ]


class Letters:
    """Asks for dead letters when somebody wants to see them, and not too often."""

    def __init__(self, ask: Callable[[], Sequence[DeadLetter]] | None, why: str = "") -> None:
        self._ask = ask  # blocks; CaptionFlowError where nobody answers
        self._seen = Seen((), why)
        self._good_until = float("-inf")  # on the monotonic clock
        self._asking = asyncio.Lock()

    async def newest(self) -> Seen:
        """Give the newest; where they cannot be had now, those from before, and why."""
        if self._ask is None:
            return self._seen
        async with self._asking:
            if time.monotonic() >= self._good_until:
                self._seen = await self._asked(self._ask)
                self._good_until = time.monotonic() + _GOOD_SECONDS
        return self._seen

    def find(self, entry: str) -> DeadLetter | None:
        """Find one that was shown."""
        return next((one for one in self._seen.letters if one.entry == entry), None)

    async def _asked(self, ask: Callable[[], Sequence[DeadLetter]]) -> Seen:
        try:
            return Seen(await asyncio.to_thread(ask))
        except CaptionFlowError as exc:
            return Seen(self._seen.letters, str(exc))
        except Exception:  # of any kind: the rest of the page goes on
            logger.exception("Dead letters cannot be read")
            return Seen(self._seen.letters, "Dead letters cannot be read; the log says why.")


def _text(letter: DeadLetter) -> str:
    sample, why = letter.sample, letter.failure
    return "\n".join((sample.id, sample.source, why.reason, why.detail, why.stage)).casefold()
