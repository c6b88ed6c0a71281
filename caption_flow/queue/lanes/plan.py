"""Queue: the plan of a job with several lanes, which no script can touch as a whole.

Each step of the plan is made in one lane, the next step in the next lane, by the script that adds
a chunk there. A lane keeps the position after the last step made in it, as a Head with the number
of that step. So who knows the heads of all lanes knows the position, which is that of the highest
number; and a lane whose head is not of the step that it must have made last has forgotten it.

A plan begins with a step in every lane, so that this can be told of each.
"""

from collections.abc import Sequence

from msgspec import Struct

NEVER = -1  # the number of no step


class Head(Struct, frozen=True):
    """What a lane keeps of the plan."""

    step: int = NEVER
    base: int = NEVER  # the step with which this plan began
    word: str = ""  # random, of this plan
    done: bool = False  # the source has no more
    text: str = ""  # the position as the planner writes it

    def encode(self) -> str:
        """Write it; nothing where no step was made."""
        if self.step == NEVER:
            return ""
        return f"{self.step} {self.base} {self.word} {int(self.done)} {self.text}"

    @classmethod
    def decode(cls, written: str) -> "Head":
        """Read what `encode` wrote."""
        if not written:
            return cls()
        step, base, word, done, text = written.split(" ", 4)
        return cls(int(step), int(base), word, done == "1", text)


class Heads(Struct, frozen=True):
    """The heads of all lanes, in the order of the lanes."""

    heads: tuple[Head, ...]

    @property
    def newest(self) -> Head:
        """The head that has the position."""
        return max(self.heads, key=lambda head: head.step)

    @property
    def lane(self) -> int:
        """The lane of the next step."""
        return (self.newest.step + 1) % len(self.heads)

    @property
    def is_begun(self) -> bool:
        """Whether the plan has made its first step in every lane."""
        return self.newest.step >= self.newest.base + len(self.heads) - 1

    @property
    def forgotten(self) -> list[int]:
        """Name the lanes that have forgotten a step."""
        last, count = self.newest, len(self.heads)
        if last.step == NEVER:
            return []
        found = []
        for lane, head in enumerate(self.heads):
            step = last.step - (last.step - lane) % count
            if step >= last.base and (head.step, head.word) != (step, last.word):
                found.append(lane)
        return found

    @property
    def done(self) -> bool:
        """Whether all is planned, and every lane knows of its share."""
        return self.newest.done and self.is_begun and not self.forgotten

    def begun(self, word: str, text: str) -> Head:
        """Make the first step of a plan."""
        step = self.newest.step + 1
        return Head(step, step, word, text=text)

    def following(self, text: str, *, done: bool) -> Head:
        """Make the next step."""
        last = self.newest
        return Head(last.step + 1, last.base, last.word, done, text)


def heads_of(written: Sequence[bytes | None]) -> Heads:
    """Read what the lanes keep."""
    return Heads(tuple(Head.decode((one or b"").decode()) for one in written))
