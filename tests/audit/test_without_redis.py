"""Audit without Redis: what the parts, and the source, tell by themselves."""

import pytest

from caption_flow.audit.tally import Tally
from tests.audit.office import ALL, Office, figures


async def test_parts_alone_balance(office: Office):
    await office.midway()

    found = await office.look(redis=False, source=False)

    assert found.balanced
    assert figures(found.totals) == {"planned": 3, "captioned": 3}
    assert found.parts.forgotten == ()


async def test_parts_and_source_tell_what_has_no_caption(office: Office):
    await office.midway()

    found = await office.look(redis=False)

    assert figures(found.totals) == {"planned": ALL, "captioned": 3, "missing": ALL - 3}
    assert not found.balanced


@pytest.mark.parametrize("commit", [True, False])
async def test_without_redis_nobody_knows_of_a_temporary_part(office: Office, commit: bool):
    await office.midway()
    part = await office.part(2, commit=commit, publish=False)
    part.abandon()

    found = await office.look(redis=False, source=False)

    assert found.parts.half_published == (part.name,)
    assert found.totals.captioned == 3
    assert not found.balanced


async def test_folder_that_is_not_there_has_no_captions(office: Office):
    found = await office.look(redis=False, source=False)

    assert found.balanced
    assert found.totals == Tally()
