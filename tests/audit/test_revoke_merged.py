"""Revoke: rows that stand in files of parts that were merged before are deleted, too."""

import pytest

from caption_flow.audit.compact import Compaction
from caption_flow.audit.registers import QueueRegister
from caption_flow.dataset.snapshot import shared
from tests.audit.archive import Archive
from tests.audit.office import Office


@pytest.fixture
async def archive(office: Office, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """Two parts, each of another's rows, that were merged while somebody read."""
    monkeypatch.setattr("caption_flow.audit.rewrite.DURABLE_SECONDS", 0.0)
    archive = Archive(office)
    await archive.all_offered()
    for name in ("ada", "bob"):
        await archive.caption(name, 3)
        await archive.write()
    folder = archive.roles.folder
    register = QueueRegister(folder, archive.roles.caption_queue())
    with shared(folder.path):
        assert (await Compaction(folder, register, rows=100).run()).kept == 2
    return archive


async def test_rows_in_files_that_were_kept_for_readers_are_deleted(archive: Archive):
    done = await archive.revoke()

    assert (done.rows, done.left) == (3, ())
    assert archive.roles.folder.retired_parts() == []
    await archive.check()


async def test_who_revokes_is_told_what_is_still_kept_for_readers(archive: Archive):
    with shared(archive.roles.folder.path):
        done = await archive.revoke()

    assert done.rows == 3
    assert "are kept until those who read them are done: 2." in " ".join(done.left)
    assert (await archive.revoke()).left == ()
    assert archive.roles.folder.retired_parts() == []
