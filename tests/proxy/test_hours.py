"""Hours: how long the workers of each contributor had work in hand."""

import asyncio
from collections.abc import Sequence

import pytest

from caption_flow.errors import QueueUnreachable
from caption_flow.grants import Grant
from caption_flow.proxy import hours
from caption_flow.proxy.hours import Hours
from caption_flow.queue.connect import Connections
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.ports.contributors import Contributor
from tests.proxy.house import ANN, BOB, House, grant, house, publish
from tests.proxy.listed import ListedTokens
from tests.roles import Roles, until

HELD = 0.4  # seconds that something is held, at least


def board(roles: Roles) -> RedisContributors:
    return RedisContributors(roles.job.connections, roles.job.job)


async def known(home: House) -> dict[str, Contributor]:
    return {one.name: one for one in await board(home.roles).contributors()}


async def told(home: House, name: str, seconds: float) -> Contributor:
    """Wait until so much is told of one."""

    async def is_told() -> bool:
        found = (await known(home)).get(name)
        return found is not None and found.seconds >= seconds

    await until(is_told)
    return (await known(home))[name]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "TELL_SECONDS", 0.05)


async def test_time_with_work_in_hand_is_told(home: House):
    await home.offer(1)
    client = await home.worker()
    await asyncio.sleep(HELD)
    assert (await told(home, "ann", 0.0)).seconds == 0

    begun = asyncio.get_running_loop().time()
    sent = await client.take(1)
    await asyncio.sleep(HELD)
    await client.complete(home.told, sent)
    took = asyncio.get_running_loop().time() - begun
    ann = await told(home, "ann", 0.9 * HELD)
    await asyncio.sleep(HELD)

    assert ann.seconds <= took
    assert (await known(home))["ann"].seconds <= took
    assert 0 < ann.first_seen <= ann.last_seen


async def test_time_of_what_is_held_for_long_is_told_meanwhile(home: House):
    await home.offer(1)
    client = await home.worker()
    await client.take(1)

    await told(home, "ann", 0.1)
    assert await home.holders()


async def test_each_worker_of_a_contributor_has_its_time(home: House):
    await home.offer(2)
    clients = [await home.worker(member=f"m{n}") for n in range(2)]
    sent = [await client.take(1) for client in clients]
    await asyncio.sleep(HELD)
    for client, samples in zip(clients, sent, strict=True):
        await client.complete(home.told, samples)

    await told(home, "ann", 1.8 * HELD)


async def test_what_was_taken_up_after_a_cut_is_in_hand(patient: House):
    await patient.offer(1)
    first = await patient.worker()
    [sent] = await first.take(1)
    first.cut()
    second = await type(first).enter(patient.url, ANN, resume=first.welcome.ticket)
    await second.serve(holding=[sent.entry])
    before = (await told(patient, "ann", 0.0)).seconds

    await told(patient, "ann", before + HELD)


async def test_time_is_told_when_the_proxy_ends(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hours, "TELL_SECONDS", 60.0)
    await publish(roles)
    async with house(connections, roles) as home:
        await home.offer(1)
        await (await home.worker()).take(1)
        await asyncio.sleep(HELD)

    assert (await known(home))["ann"].seconds >= 0.9 * HELD


async def test_who_wants_no_name_has_none_from_the_start(
    connections: Connections, roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    """The token stands in the document of the proxies, and Redis hears of it from them."""
    monkeypatch.setattr(hours, "TELL_SECONDS", 60.0)
    tokens = ListedTokens([grant("ann", ANN), grant("bob", BOB, anonymous=True)])
    await publish(roles)
    async with house(connections, roles, admission=tokens) as home:
        await home.worker()
        await home.worker(BOB)
        await told(home, "ann", 0.0)
        await told(home, "bob", 0.0)

        kinds = {one.name: one.kind for one in (await known(home)).values()}

    assert kinds == {"ann": "contributor", "bob": "anonymous"}


class Deaf:
    """Takes down what it is told, and does not answer at first."""

    def __init__(self, failures: int) -> None:
        self.told: list[tuple[str, float, bool]] = []
        self._failures = failures

    async def contributors(self) -> Sequence[Contributor]:
        return ()

    async def spent(self, contributor: str, seconds: float, *, anonymous: bool) -> None:
        self.told.append((contributor, seconds, anonymous))
        if len(self.told) <= self._failures:
            raise QueueUnreachable("no answer")


async def test_time_of_which_nobody_knows_whether_it_was_told_counts_once():
    deaf = Deaf(failures=2)
    ann = Grant("ann", "worker", "0" * 64, anonymous=True)
    async with Hours(deaf) as added:
        added.add(ann, 3.0)
        await until(lambda: len(deaf.told) >= 3)
        added.add(ann, 2.0)
        await until(lambda: len(deaf.told) >= 4)

    assert {(name, anonymous) for name, _, anonymous in deaf.told} == {("ann", True)}
    assert [seconds for _, seconds, _ in deaf.told] == [3.0, 0.0, 0.0, 2.0]
