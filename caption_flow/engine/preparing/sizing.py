"""Engine: how many processes prepare images, chosen from what is measured.

Pure: numbers in, a number out. There are more as soon as the engine lacks what waits for one of
them, and fewer when the last of them has had next to nothing to do for a while. Where the last one
has nothing to do, nobody waits for it: so what was taken away is not brought back at once.
"""

from caption_flow.engine.preparing.load import Seen

GROW_AT = (
    0.02  # share of the engine's slots that lack what waits for a process: what is more counts
)
GROW_MISSED = 0.3  # seconds of all slots that must be lacking, over that, before there are more
GROW_SECONDS = 2.0  # that must have been seen as well, since it began
SHRINK_SECONDS = 30.0  # that must have been seen before there are fewer
SHRINK_AT = 0.03  # share of the time in which all of them were at work
CROWDED_AT = 0.33  # share of their time in which they wait for cores: others need these too


class Sizer:
    """Chooses for one engine, of so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._missed = 0.0  # seconds of all slots
        self._missing = _Means()  # since that began
        self._longer = _Means()

    def look(self, count: int, seen: Seen) -> int:
        """Say how many there should be, of so many that have all started, from now on."""
        self._longer.add(seen)
        wanted = self._grown(count, seen)
        if wanted == count and self._longer.seconds >= SHRINK_SECONDS:
            wanted = max(1, count - (self._longer.full < SHRINK_AT))
            self._longer = _Means()
        if wanted != count:
            self.forget()
        return wanted

    def limit(self, most: int) -> None:
        """Choose no more than so many: others do not start."""
        self._most = most

    def forget(self) -> None:
        """Go by nothing that was seen before now."""
        self._forget_missed()
        self._longer = _Means()

    def _forget_missed(self) -> None:
        self._missed, self._missing = 0.0, _Means()

    def _grown(self, count: int, seen: Seen) -> int:
        """Have more where the engine goes on lacking them; the want of a moment fades."""
        self._missed += (seen.starved - GROW_AT) * seen.seconds
        if self._missed <= 0.0:
            self._forget_missed()
            return count
        self._missing.add(seen)
        if self._missed < GROW_MISSED or self._missing.seconds < GROW_SECONDS:
            return count
        lacking = _lacking(count, self._missing)
        self._forget_missed()
        return min(max(count, self._most), count + lacking)


class _Means:
    """Of what was seen in so many seconds."""

    def __init__(self) -> None:
        self.seconds = self.filled = self.starved = self.full = self.delayed = 0.0

    def add(self, seen: Seen) -> None:
        self.seconds += seen.seconds
        share = seen.seconds / self.seconds
        self.filled += share * (seen.filled - self.filled)
        self.starved += share * (seen.starved - self.starved)
        self.full += share * (seen.full - self.full)
        self.delayed += share * (seen.delayed - self.delayed)


def _lacking(count: int, seen: _Means) -> int:
    """Say how many more are needed, if so many fill what is filled; at most as many again."""
    if seen.delayed >= CROWDED_AT:
        return 0
    return max(1, min(count, int(count * seen.starved / max(seen.filled, 1e-9))))
