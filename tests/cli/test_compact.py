"""`caption-flow compact`: what it finds, what it says, and that jobs go on after it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from caption_flow.cli import main
from caption_flow.dataset.parts import PartFolder
from caption_flow.dataset.snapshot import snapshot
from caption_flow.errors import CaptionFlowError
from tests.audit.archive import Archive
from tests.audit.office import Office
from tests.dataset.mergers import written
from tests.e2e.desk import Desk, settings
from tests.e2e.pictures import draw
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
)

__all__ = ["brisk", "roles"]

SIMULATED = settings(engine="simulated", simulated__tokens="[5, 8]", storage__rows_per_part=4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartFolder:
    """Three parts with four rows, in the data directory of a desk."""
    monkeypatch.chdir(tmp_path)
    made = PartFolder(tmp_path / "caption_data", "photos")
    for numbers in ((1, 2), (3,), (4,)):
        written(made, *numbers)
    return made


def compact(*words: object) -> tuple[int, str, str]:
    """Run the command; answers its exit code, what it printed, and what else it said."""
    done = CliRunner().invoke(main.cli, ["compact", *map(str, words)])
    if isinstance(done.exception, CaptionFlowError):
        return done.exception.exit_code, done.stdout, done.stderr + str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("where", [(), ("photos",), ("caption_data/photos",)], ids=str)
def test_parts_are_merged_by_the_folder_alone(folder: PartFolder, where: tuple[str, ...]):
    code, out, err = compact(*where)

    assert (code, out) == (0, "Merged 3 parts with 4 rows into 1.\n")
    assert err == "Warning: No Redis was asked. None is configured.\n"
    assert len(folder.published()) == 1


def test_parts_of_several_lanes_are_not_merged_by_the_folder_alone(folder: PartFolder):
    (folder.path.parents[1] / "job.yaml").write_text("lanes: 3\n")

    code, _, err = compact("--config", "job.yaml")

    assert code != 0
    assert "lanes is 3, and parts of several lanes must not be merged" in err
    assert len(folder.published()) == 3


def test_dry_run_says_what_would_be_merged(folder: PartFolder):
    before = sorted(folder.path.iterdir())

    _, out, _ = compact("--dry-run", "--rows-per-part", 4)

    assert out == "Would merge 2 parts with 2 rows into 1.\n"
    assert sorted(folder.path.iterdir()) == before


def test_nothing_to_merge_is_said(folder: PartFolder):
    compact()

    assert compact()[:2] == (0, "Nothing was merged.\n")
    assert compact("--dry-run")[:2] == (0, "Nothing would be merged.\n")
    assert len(folder.published()) == 1


def test_files_that_somebody_reads_are_kept(folder: PartFolder):
    with snapshot(folder):
        _, out, _ = compact()
    _, later, _ = compact()

    assert out == (
        "Merged 3 parts with 4 rows into 1; 3 replaced files are kept until those who read them "
        "are done.\n"
    )
    assert later == "Nothing was merged.\n"
    assert folder.retired_parts() == []


def test_part_that_cannot_be_read_is_named_when_the_others_are_merged(folder: PartFolder):
    torn = folder.file(folder.published()[0])
    torn.write_bytes(b"no Parquet")

    code, out, err = compact()

    assert code == 1
    assert out.startswith("Merged 2 parts")
    assert f"{torn} cannot be read" in err


def test_folder_without_parts_is_refused(folder: PartFolder):
    code, _, err = compact("elsewhere")

    assert code == 2
    assert "elsewhere is neither a folder of part-*.parquet nor a job" in err
    assert str(folder.path.parent.name) in err


def test_redis_that_does_not_answer_is_not_passed_over(folder: PartFolder):
    code, _, err = compact("--redis", "redis://127.0.0.1:1")

    assert code == 1
    assert "127.0.0.1:1" in err
    assert len(folder.published()) == 3


@pytest.fixture
async def archive(roles: Roles, tmp_path: Path) -> AsyncIterator[Archive]:
    office = Office(roles, tmp_path / "pictures")
    made = Archive(office)
    await made.in_the_middle()
    yield made
    office.close()


async def test_job_on_a_redis_has_its_parts_recorded_as_merged(archive: Archive, redis_url: str):
    where = ("--redis", redis_url, "--data-dir", archive.roles.folder.path.parent, JOB)

    code, out, err = await asyncio.to_thread(compact, *where)

    assert (code, out, err) == (0, "Merged 2 parts with 8 rows into 1.\n", "")
    await archive.check()
    assert list(await archive.roles.caption_queue().records()) == archive.roles.folder.published()


async def test_redis_of_the_settings_is_not_asked_about_a_copy_of_the_folder(
    archive: Archive, redis_url: str, tmp_path: Path
):
    """What was merged in a backup would be recorded, and the job's own parts be gone."""
    folder = archive.roles.folder
    copy = shutil.copytree(folder.path, tmp_path / "backup" / JOB)
    before = await archive.roles.caption_queue().records()
    document = tmp_path / "job.yaml"
    document.write_text(f"redis: {redis_url}\nstorage: {{data_dir: {folder.path.parent}}}\n")

    code, out, err = await asyncio.to_thread(compact, "--config", document, copy)

    assert (code, out) == (0, "Merged 2 parts with 8 rows into 1.\n")
    assert f"No Redis was asked. {copy} is not the folder of the settings" in err
    assert f"{folder.path}: give --redis URL" in err
    assert await archive.roles.caption_queue().records() == before

    code, out, err = await asyncio.to_thread(compact, "--config", document, folder.path)
    assert (code, out, err) == (0, "Merged 2 parts with 8 rows into 1.\n", "")
    await archive.check()


async def test_redis_without_the_job_is_told_of(folder: PartFolder, redis_url: str):
    code, out, err = await asyncio.to_thread(compact, "--redis", redis_url)

    assert (code, out) == (0, "Merged 3 parts with 4 rows into 1.\n")
    assert 'has no job "photos"' in err
    assert len(folder.published()) == 1


def test_job_with_a_redis_of_its_own_goes_on_after_its_parts_were_merged(desk: Desk):
    """That has ended, and is started for this."""
    photos = desk.folder / "photos"
    draw(photos, 12)
    assert desk.run("run", "photos", *SIMULATED).code == 0
    folder = PartFolder(desk.folder / "caption_data", "photos")
    assert len(folder.published()) == 3

    merging = desk.run("compact")
    assert (merging.code, merging.out) == (0, "Merged 3 parts with 12 rows into 1.\n")
    assert merging.err == ""

    (photos / "new.jpg").write_bytes((photos / next(photos.glob("*.jpg")).name).read_bytes())
    assert desk.run("run", "photos", *SIMULATED).code == 0
    assert folder.rows() == 13
    assert len(folder.published()) == 2
    scanned = desk.run("scan_chunks", "photos")
    assert scanned.code == 0, scanned.words
