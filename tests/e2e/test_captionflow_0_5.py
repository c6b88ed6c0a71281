"""Documents of CaptionFlow 0.5 run as they are, but for the engine and the folder."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.pictures import digests, draw, rows, said

DOCUMENTS = Path(__file__).parents[1] / "config" / "captionflow_0_5"
PHOTOS = 6


@pytest.fixture(scope="module")
def ended(shared_desk: Desk) -> dict[str, Ended]:
    """Two jobs over the same photos: three prompts in one stage, and the same in several."""
    draw(shared_desk.folder / "photos", PHOTOS)
    running = {
        name: shared_desk.start(
            *("run", "photos", "--engine", "simulated", "--config", DOCUMENTS / f"{name}.yaml"),
            *settings(storage__data_dir=name, job="photos"),
        )
        for name in ("folder", "stages")
    }
    return {name: run.wait() for name, run in running.items()}


def captioned(desk: Desk, name: str) -> dict[str, dict[str, Any]]:
    """The rows of a job, by sample."""
    return {row["id"]: row for row in rows(desk.folder / name / "photos")}


def lengths(texts: list[str]) -> list[int]:
    """The simulated engine draws the length of a caption by image and prompt."""
    return [len(text.split()) for text in texts]


@pytest.mark.parametrize(("name", "warnings"), [("folder", 6), ("stages", 2)])
def test_document_runs_to_the_end_with_one_warning_per_key(
    ended: dict[str, Ended], name: str, warnings: int
):
    assert ended[name].code == 0, ended[name].words
    assert ended[name].err.count(f"{name}.yaml: ") == warnings, ended[name].err


@pytest.mark.usefixtures("ended")
def test_each_photo_has_a_caption_from_each_prompt(shared_desk: Desk):
    found = captioned(shared_desk, "folder")

    assert said(found.values()) == sorted(digests(shared_desk.folder / "photos").items())
    assert {len(row["captions"]) for row in found.values()} == {3}


@pytest.mark.usefixtures("ended")
def test_field_of_several_stages_is_a_list_in_their_order(shared_desk: Desk):
    """One document asks what, where and who in one stage; the other asks what and who in its
    first, and where in its second."""
    single, several = captioned(shared_desk, "folder"), captioned(shared_desk, "stages")

    assert several.keys() == single.keys()
    for name, row in several.items():
        what, where, who = lengths(single[name]["captions"])
        assert lengths(row["notes"]) == [what, who, where]
        assert len(row["summary"]) == 1
