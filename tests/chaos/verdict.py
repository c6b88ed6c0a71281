"""Chaos, the equation: in == captioned + dead, each once, each caption that of its image."""

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
from msgspec import Struct
from msgspec.structs import replace

from tests.chaos.contributors import owner
from tests.chaos.images import Fed
from tests.chaos.parts import Parts
from tests.e2e.jobs import Job

_DIGITS = 32  # of its image's digest, in a simulated caption


class Row(Struct, frozen=True):
    """A row of a part, as far as it is judged."""

    id: str
    sha256: str
    caption: str
    attempt: int
    contributor: str = ""
    worker: str = ""


class Letter(Struct, frozen=True):
    """A dead letter, as far as it is judged."""

    id: str
    reason: str
    history: str = ""  # its attempts before the last, as they stand in the letter


class Found(Struct, frozen=True):
    """What came out: all rows of all published parts, and all dead letters."""

    rows: list[Row]
    letters: list[Letter]


class Verdict(Struct, frozen=True):
    """The samples for which the equation does not hold, each with what is wrong."""

    lost: list[str]
    doubled: list[str]
    wrong: list[str]

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def judge(fed: Fed, found: Found) -> Verdict:
    """Compare what came out with what went in."""
    captioned = Counter(row.id for row in found.rows)
    dead = Counter(letter.id for letter in found.letters)
    reasons = {x.id: f", given up: {x.reason} {x.history}".rstrip() for x in found.letters}
    missing = (fed.good.keys() - captioned.keys()) | (fed.bad.keys() - dead.keys())
    return Verdict(
        lost=sorted(id_ + reasons.get(id_, "") for id_ in missing),
        doubled=sorted(f"{id_}, {n} times" for id_, n in (captioned + dead).items() if n > 1),
        wrong=[_said(row) for row in found.rows if not _is_right(row, fed)]
        + [f"{x.id}, {x.reason}" for x in found.letters if fed.bad.get(x.id) != x.reason],
    )


def _is_right(row: Row, fed: Fed) -> bool:
    digest = fed.good.get(row.id, "")
    rightly_made = row.sha256 == digest and row.caption.split()[2:3] == [digest[:_DIGITS]]
    return rightly_made and owner(row.worker) == row.contributor


def _said(row: Row) -> str:
    return f"{row.id} of image {row.sha256}, {row.caption}, {row.contributor} by {row.worker}"


def find(parts: Parts, job: Job) -> Found:
    """Read what came out."""
    rows = [row for file in parts.published for row in _rows(file)]
    return Found(rows, letters(job))


def _rows(file: Path) -> list[Row]:
    columns = ["id", "sha256", "captions", "attempt", "contributor", "worker"]
    found = pq.read_table(file, columns=columns, partitioning=None).to_pylist()
    return [
        Row(
            row["id"],
            row["sha256"],
            " ".join(row["captions"]),
            row["attempt"],
            row["contributor"] or "",
            row["worker"],
        )
        for row in found
    ]


def letters(job: Job) -> list[Letter]:
    """Read the dead letters as an operator may: JSON, each field after its name."""
    return [letter for lane in job.lanes for letter in _letters(lane)]


def _letters(lane: Job) -> list[Letter]:
    found: list[dict[str, str]] = [{}]
    lines = lane.cli("XRANGE", lane.key("dead"), "-", "+").splitlines()
    for name, value in pairwise(lines):
        if name in found[-1]:  # each letter has it once
            found.append({})
        if name in {"why", "sample", "earlier"}:
            found[-1][name] = value
    return [_letter(fields) for fields in found if fields]


def _letter(fields: dict[str, str]) -> Letter:
    sample, why = json.loads(fields["sample"]), json.loads(fields["why"])
    return Letter(sample["id"], why["reason"], fields.get("earlier", ""))


def unseen(fed: Fed, found: Found) -> list[str]:
    """Lose, double and exchange a row of what was found; answers what the equation overlooks."""
    chance = random.Random(len(found.rows))
    one, other = chance.sample(found.rows, 2)
    rest = [row for row in found.rows if row is not one]
    altered = {
        "a lost row": replace(found, rows=rest),
        "a doubled row": replace(found, rows=[*found.rows, one]),
        "a wrong caption": replace(found, rows=[*rest, replace(one, caption=other.caption)]),
        "a wrong contributor": replace(found, rows=[*rest, replace(one, contributor="eve")]),
        "a lost dead letter": replace(found, letters=found.letters[1:]),
        "a row given up as well": replace(found, letters=[*found.letters, Letter(one.id, "x")]),
    }
    sound = judge(fed, found)
    return [what for what, there in altered.items() if judge(fed, there) == sound]
