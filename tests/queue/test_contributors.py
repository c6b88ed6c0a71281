"""Contributors: what each has done, and how they stand."""

import time

from hypothesis import given
from hypothesis import strategies as st

from caption_flow.grants import Grant, digest
from caption_flow.model import Credit
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.ports.contributors import Contributor, Standing, leaderboard
from caption_flow.queue.tokens import RedisTokens
from tests.queue.shop import Shop, failed, letters_of


def board_of(shop: Shop) -> RedisContributors:
    return RedisContributors(shop.job.connections, shop.job.job)


async def test_nobody_is_known_at_first(shop: Shop):
    assert await board_of(shop).contributors() == []


async def test_time_adds_up(shop: Shop):
    board, before = board_of(shop), int(time.time())
    await board.spent("ada", 1.5, anonymous=False)
    await board.spent("ada", 2.25, anonymous=True)

    [ada] = await board.contributors()

    assert (ada.name, ada.seconds, ada.anonymous) == ("ada", 3.75, True)
    assert before <= ada.first_seen <= ada.last_seen <= time.time()


async def test_any_name_is_kept(shop: Shop):
    board = board_of(shop)
    names = ["a:b", "a", "été/~ x", "a:captions", ":"]
    for name in names:
        await board.spent(name, 1.0, anonymous=False)

    assert [one.name for one in await board.contributors()] == sorted(names)


async def test_token_has_the_last_word_on_being_named(shop: Shop):
    board, tokens = board_of(shop), RedisTokens(shop.job)
    await board.spent("ada", 1.0, anonymous=False)
    await tokens.put(Grant("ada", "worker", digest("ada"), anonymous=True))
    [before] = await board.contributors()
    await board.spent("ada", 1.0, anonymous=True)
    await tokens.remove("ada", "worker")
    [after] = await board.contributors()

    assert (before.anonymous, after.anonymous) == (True, True)


async def test_failures_are_the_contributors(shop: Shop):
    await shop.offer(3)
    worker = await shop.worker(contributor="ada")
    leases = await worker.claim(2)
    await worker.fail(failed(leases))
    await worker.fail(failed(leases))  # again, as when the answer is lost
    own = await shop.worker("own")
    await own.fail(failed(await own.claim(1)))

    [ada] = await board_of(shop).contributors()

    assert (ada.name, ada.failures) == ("ada", 2)
    makers = [letter.failure.contributor for letter in await letters_of(shop.dead)]
    assert sorted(makers) == ["", "ada", "ada"]


def one(name: str, captions: int, *, anonymous: bool = False) -> Contributor:
    return Contributor(name, Credit(captions, 2, 3), seconds=1.0, anonymous=anonymous)


def test_most_captions_come_first_and_as_many_share_a_rank():
    board = leaderboard([one("ada", 5), one("bob", 7), one("eve", 5), one("zoe", 1)])

    lines = [(line.rank, line.name) for line in board]
    assert lines == [(1, "bob"), (2, "ada"), (2, "eve"), (4, "zoe")]


def test_those_who_want_not_to_be_named_are_one_line():
    board = leaderboard(
        [one("", 9), one("ada", 5), one("bob", 7, anonymous=True), one("eve", 2, anonymous=True)]
    )

    assert board == [
        Standing("contributor", "ada", 1, 1, Credit(5, 2, 3), 1.0),
        Standing("anonymous", "", 0, 2, Credit(9, 4, 6), 2.0),
        Standing("own", "", 0, 1, Credit(9, 2, 3), 1.0),
    ]


def test_who_has_made_nothing_does_not_stand():
    assert leaderboard([one("ada", 0), one("", 0)]) == []


@given(
    st.lists(
        st.builds(one, st.text(max_size=3), st.integers(0, 5), anonymous=st.booleans()),
        unique_by=lambda entry: entry.name,
    )
)
def test_leaderboard_loses_nothing_and_names_nobody_who_does_not_want_it(
    entries: list[Contributor],
):
    board = leaderboard(entries)

    assert sum(line.credit.captions for line in board) == sum(e.credit.captions for e in entries)
    hidden = {entry.name for entry in entries if entry.anonymous}
    assert hidden.isdisjoint({line.name for line in board if line.name})
    ranks = [line.rank for line in board if line.rank]
    assert ranks == sorted(ranks)
