"""A feeder does through a proxy what it does on Redis, within what the operator allows."""

import fcntl
import os
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.queue.connect import Connections
from caption_flow.wire import administering as admin
from caption_flow.wire import feeding
from caption_flow.wire.frames import (
    Did,
    Lost,
    Refused,
    Release,
    Renewal,
)
from tests.made import jpeg
from tests.proxy.callers import GRANTS, SMALL, Feeding, claimed, enter, home, patient, put
from tests.proxy.house import House, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles

__all__ = ["home", "patient"]


async def test_offered_samples_are_in_the_queue_once(home: House):
    fed = await Feeding.begin(home)

    answers = [await fed.offer(0, 2), await fed.offer(0, 2), await fed.offer(2, 1)]

    assert [(each.status, each.cursor) for each in answers] == [("ok", 2), ("moved", 2), ("ok", 3)]
    entries = await home.roles.client.xrange(home.roles.job.lane.samples("caption"))
    found = [records.sample_from("", fields).id for _, fields in entries]
    assert found == list(fed.chunk.names)
    images = [
        fields[b"image"] for _, fields in await home.roles.client.xrange(home.roles.job.lane.images)
    ]
    assert images == [jpeg(0), jpeg(1), jpeg(2)]


async def test_budget_is_the_operators_whatever_a_feeder_says(home: House):
    fed = await Feeding.begin(home, 12)
    assert (await fed.offer(0, 6)).status == "ok"

    assert (await fed.offer(6, 1)).status == "full"


async def test_chunk_of_another_feeder_is_lost_to_whoever_names_it(home: House):
    fed = await Feeding.begin(home)
    thief = Feeding(await enter(home, "feeder", member="m2"), fed.chunk, fed.entry)

    assert (await thief.offer(0, 1)).status == "lost"
    assert (await thief.client.ask(Renewal, 0, (fed.entry,), answer=Lost)).entries == (fed.entry,)
    await thief.client.ask(Release, 0, (fed.entry,), answer=Did)
    status = (
        await thief.client.ask(feeding.Withdraw, fed.entry, "1", "2", answer=feeding.Withdrawn)
    ).status
    assert status == "lost"
    assert (await fed.offer(0, 1)).status == "ok"


async def test_feeder_that_comes_back_goes_on_with_its_chunk(patient: House):
    fed = await Feeding.begin(patient)
    await fed.offer(0, 1)
    fed.client.cut()
    resumed = await enter(patient, "feeder", resume=fed.client.welcome.ticket)
    again = Feeding(resumed, fed.chunk, fed.entry)

    assert (await resumed.ask(Renewal, 0, (fed.entry,), answer=Lost)).entries == ()
    assert not (await resumed.ask(feeding.Claim, (fed.entry,), answer=feeding.ChunkSent)).entry
    assert (await again.offer(1, 2)).status == "ok"


async def test_connection_of_a_feeder_that_broke_before_it_took_anything_up_is_passed_over(
    patient: House,
):
    fed = await Feeding.begin(patient)
    await fed.offer(0, 1)
    fed.client.cut()
    tickets = (fed.client.welcome.ticket,)
    second = await enter(patient, "feeder", resume=tickets[0])
    second.cut()

    third = await enter(patient, "feeder", resume=second.welcome.ticket, tickets=tickets)
    again = Feeding(third, fed.chunk, fed.entry)

    assert (await third.ask(Renewal, 0, (), answer=Lost)).entries == ()
    assert (await again.offer(1, 2)).status == "ok"


async def test_chunk_that_was_sent_in_vain_is_sent_again(patient: House):
    fed = await Feeding.begin(patient)
    fed.client.cut()
    resumed = await enter(patient, "feeder", resume=fed.client.welcome.ticket)

    sent = await resumed.ask(feeding.Claim, (), answer=feeding.ChunkSent)

    assert (sent.entry, sent.cursor, sent.attempt) == (fed.entry, 0, 1)


async def test_feeder_that_stays_away_leaves_its_chunk_to_others(home: House):
    fed = await Feeding.begin(home)
    await fed.offer(0, 1)
    fed.client.cut()
    other = await enter(home, "feeder", member="m2")

    sent = await claimed(other)

    assert (sent.entry, sent.cursor) == (fed.entry, 1)


async def test_settings_of_a_job_that_has_some_are_an_operators_to_change(home: House):
    feeder, operator = await enter(home, "feeder"), await enter(home, "admin")
    other = replace(home.told, batch_size=3).encode()

    kept = await put(feeder, feeding.Publish, "pictures", answer=feeding.Published, payload=other)
    await put(feeder, feeding.Remind, 50, "pictures", answer=Did, payload=other)
    assert (await home.roles.job.settings()).version == kept.version == 1
    stale = await put(operator, admin.Reload, 7, answer=admin.Reloaded, payload=other)
    done = await put(operator, admin.Reload, 1, answer=admin.Reloaded, payload=other)

    assert (stale.version, done.version) == (0, 2)
    settings = await home.roles.job.settings()
    assert (settings.document, settings.by) == (other, "reload_config of the admin on host")


async def test_settings_for_another_data_set_are_refused(home: House):
    feeder = await enter(home, "feeder")

    answer = await put(feeder, feeding.Publish, "other", answer=Refused, payload=home.told.encode())

    assert answer.kind == "unfit"
    assert "another data set" in answer.text


@pytest.mark.parametrize("document", [b"", b"{}", b"[" * 100_000])
async def test_settings_that_nobody_can_read_are_refused(home: House, document: bytes):
    operator = await enter(home, "admin")

    answer = await put(operator, admin.Reload, 1, answer=Refused, payload=document)

    assert answer.kind == "unfit"
    assert (await home.roles.job.settings()).version == 1


async def test_known_is_refused_where_the_parts_are_not_seen(
    connections: Connections, roles: Roles
):
    await publish(roles)
    await connections.commands.hset(roles.job.lane.parts, "part-1", "{}")
    async with AsyncExitStack() as stack:
        for supply in (SMALL, replace(SMALL, folder=roles.folder)):
            opened = house(connections, roles, admission=ListedTokens(GRANTS), supply=supply)
            client = await enter(await stack.enter_async_context(opened), "feeder")
            answer = await client.ask(feeding.KnownWanted, True, answer=Refused)
            assert answer.kind == "unfit"
            assert "storage.data_dir" in answer.text


async def test_proxy_goes_on_while_files_of_merged_parts_are_deleted(home: House):
    home.roles.folder.make()
    feeder = await enter(home, "feeder")
    deleting = os.open(home.roles.folder.path, os.O_RDONLY)
    fcntl.flock(deleting, fcntl.LOCK_EX)

    asked = next(feeder.ids)
    await feeder.say(feeding.KnownWanted(asked, later=True))
    for _ in range(10):
        await feeder.ask(feeding.Epoch, answer=feeding.Stands)
    os.close(deleting)

    assert (await feeder.hear(Did)).id == asked
