"""What the tests of `caption-flow run` share: doing one, and seeing that nothing is left of it."""

from pathlib import Path

from msgspec import Struct

from tests.e2e.desk import Desk, Ended, alive, settings
from tests.e2e.pictures import digests, rows, said

SIMULATED = ("--engine", "simulated")
SLOW = (*SIMULATED, *settings(simulated__latency="[0.1, 0.2]", vllm__batch_size=8, lease_seconds=2))
FEW = settings(storage__rows_per_part=25)  # rows in a part


class Captioned(Struct, frozen=True):
    """One run, and the rows after it."""

    ended: Ended
    rows: dict[str, object]  # sample id -> when it was captioned


def run(desk: Desk, *arguments: object) -> Captioned:
    """Run to the end, and see that each image has one caption, its own."""
    ended = desk.run("run", "photos", *arguments)
    assert_complete(desk, "photos", ended.words)
    return Captioned(ended, captioned_at(desk))


def assert_complete(desk: Desk, job: str, words: str = "") -> None:
    """Each image in the folder of the job's name has one caption, its own."""
    found = rows(desk.folder / "caption_data" / job)
    assert said(found) == sorted(digests(desk.folder / job).items()), words


def captioned_at(desk: Desk) -> dict[str, object]:
    """When each sample was captioned that stands in a part."""
    found = rows(desk.folder / "caption_data" / "photos")
    return {row["id"]: row["captioned_at"] for row in found}


def processes_in(folder: Path) -> list[int]:
    """Processes that work in this folder or below, but for zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = (entry / "cwd").readlink()
            except OSError:
                continue
            if place.is_relative_to(folder) and alive(int(entry.name)):
                found.append(int(entry.name))
    return found
