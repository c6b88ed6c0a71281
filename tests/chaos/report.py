"""Chaos, the last word: what was done, what came of it, and whether that could have failed."""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from tests.chaos.images import draw
from tests.chaos.mischief import DEADLY
from tests.chaos.plan import Plan
from tests.chaos.run import Ending, Run
from tests.chaos.verdict import Found, Verdict, find, judge, unseen

_SHOWN = 10  # samples named of each kind


class Report(Struct, frozen=True):
    """A run and its verdict."""

    plan: Plan
    ending: Ending
    found: Found
    parts: int
    verdict: Verdict
    unseen: list[str]  # what the verdict would have overlooked

    @property
    def kills(self) -> int:
        return sum(n for (what, _), n in self.ending.deeds.items() if what in DEADLY)

    @property
    def made(self) -> Counter[str]:
        """Rows of each contributor."""
        return Counter(row.contributor for row in self.found.rows)

    @property
    def again(self) -> int:
        """Deliveries beyond the first, of all rows."""
        return sum(row.attempt - 1 for row in self.found.rows)

    @property
    def forgot(self) -> bool:
        """Whether others should have had the work of the dead, and did not."""
        return self.ending.estate.due > 0 and self.again == 0

    def complaints(self) -> list[str]:
        """Everything that should not be; nothing where the run was a success."""
        verdict, books = self.verdict, self.ending.books
        return [
            *(f"lost: {sample}" for sample in verdict.lost[:_SHOWN]),
            *(f"doubled: {sample}" for sample in verdict.doubled[:_SHOWN]),
            *(f"wrong: {sample}" for sample in verdict.wrong[:_SHOWN]),
            *(f"fell: {fall}" for fall in self.ending.falls[:_SHOWN]),
            *_imbalance(books),
            *_miscounted(self.ending.credited, self.made),
            *(f"the verdict overlooks {what}" for what in self.unseen),
            *(["workers died with samples in hand, and none came again"] * self.forgot),
            *([f"only {self.kills} kills before all was done"] * (self.kills < self.plan.kills)),
        ]

    def lines(self) -> list[str]:
        """Tell all of it."""
        plan, verdict = self.plan, self.verdict
        dead = Counter(letter.reason for letter in self.found.letters)
        left, again = self.ending.estate, self.again
        rows = len(self.found.rows)
        return [
            f"seed {plan.seed}: {plan.samples:,} samples, {self.kills:,} kills, "
            f"{self.ending.seconds:.0f} s; Redis with AOF {plan.aof}",
            *(f"{what:10}{_told(whom)}" for what, whom in _by_deed(self.ending.deeds)),
            f"captioned {rows:,} in {self.parts:,} parts",
            f"made by   {_told(Counter({n or 'own': c for n, c in self.made.items()}))}",
            f"dead      {len(self.found.letters):,}: {_told(dead)}",
            f"left      {left.samples:,} samples by {len(left.left)} workers that were killed; "
            f"{left.idle} held none; {left.due:,} were in parts before Redis forgot anything",
            f"again     {again:,} deliveries beyond the first ({again / max(1, rows):.1%})",
            f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, wrong {len(verdict.wrong)}",
            *self.complaints(),
            *["that it can fail: rows lost, doubled and exchanged on purpose were seen"]
            * (not self.unseen),
        ]


def chaos(plan: Plan, place: Path) -> Report:
    """Run it once in a folder."""
    fed = draw(place / "images", plan.samples, plan.seed, plan.image_bytes)
    run = Run(plan, fed, place)
    try:
        ending = run.run()
        found = find(run.parts, run.server.job)
    finally:
        run.server.close()
    parts = len(run.parts.published)
    return Report(plan, ending, found, parts, judge(fed, found), unseen(fed, found))


def _imbalance(books: dict[str, int]) -> list[str]:
    """Say where the books do not balance when all is done."""
    settled = books.get("captioned", 0) + books.get("dead", 0)
    held = books.get("bytes_in_flight", 0)
    wrong = []
    if books.get("planned") != settled:
        wrong.append(f"the books count {books.get('planned')} planned and {settled} settled")
    if books.get("completed") != books.get("captioned"):
        wrong.append(f"the books count {books.get('completed')} completed and not as many in parts")
    if held:
        wrong.append(f"the books count {held} bytes in flight, and there are none")
    return wrong


def _miscounted(credited: Counter[str], made: Counter[str]) -> list[str]:
    """Say where the counters of contributors are not the rows."""
    return [
        f"of {name or 'our own'} {made[name]} rows are there and {credited[name]} counted"
        for name in sorted(credited.keys() | made.keys())
        if credited[name] != made[name]
    ]


def _by_deed(deeds: Counter[tuple[str, str]]) -> list[tuple[str, Counter[str]]]:
    kinds = sorted({what for what, _ in deeds})
    return [(kind, Counter({w: n for (k, w), n in deeds.items() if k == kind})) for kind in kinds]


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
