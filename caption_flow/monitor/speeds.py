"""Monitor: how fast each process goes, by what it said that it has done at several looks."""

from collections import deque
from collections.abc import Iterable

from caption_flow.queue.ports import Member

WINDOW = 30.0  # seconds over which a speed is taken
SHORTEST = 1.0  # seconds between two words from which one is taken
DONE = "captions"  # the figure that grows with what is done

Word = tuple[float, float]  # when it was said, in seconds since the epoch; captions until then


class Speeds:
    """Captions a second of all members that make any."""

    def __init__(self) -> None:
        self._words: dict[str, deque[Word]] = {}

    def note(self, members: Iterable[Member]) -> None:
        """Take a look into account; who is no member any more is forgotten."""
        words: dict[str, deque[Word]] = {}
        for member in members:
            if DONE in member.figures:
                key = f"{member.role}:{member.name}"
                words[key] = self._words.get(key) or deque()
                _add(words[key], (member.seen, member.figures[DONE]))
        self._words = words

    def of(self, member: Member) -> float | None:
        """Give captions a second over the last half minute; None where nothing tells.

        Of a member that was heard once: since it began.
        """
        words = self._words.get(f"{member.role}:{member.name}")
        if not words:
            return None
        (since, before), (until, now) = words[0], words[-1]
        if until - since < SHORTEST:
            since, before = member.started, 0.0
        return max(0.0, now - before) / (until - since) if until - since >= SHORTEST else None


def _add(words: deque[Word], word: Word) -> None:
    if words and (word[0] < words[-1][0] or word[1] < words[-1][1]):
        words.clear()  # another process of that name, or one that counts anew
    if not words or word[0] > words[-1][0]:
        words.append(word)
    # The oldest is the newest of those that are old enough.
    while len(words) > 2 and word[0] - words[1][0] >= WINDOW:  # noqa: PLR2004 - a pair
        words.popleft()
