"""Tokens of a job in Redis and what they were used for: edited, counted, brought back."""

import asyncio
from collections.abc import Mapping

import pytest

from caption_flow.grants import Grant, digest
from caption_flow.queue import usage as limits
from caption_flow.queue.job import RedisJob
from caption_flow.queue.ports.tokens import Word
from caption_flow.queue.ports.usage import Had
from caption_flow.queue.tokens import RedisTokens
from caption_flow.queue.usage import RedisUsage
from tests.queue.shop import Shop


def grant_of(name: str, token: str = "", **limits: object) -> Grant:
    return Grant(name=name, role="worker", sha256=digest(token or name), **limits)


ANNA = grant_of("Anna", stages=("look",), max_workers=2, bytes_per_day=1 << 40, trusted=True)
BEN = grant_of("Ben", expires=1_900_000_000.5)
NO_HASH = b'5 {"name":"Anna","role":"worker","sha256":"\xc3\xa4"}'


@pytest.fixture
def tokens(shop: Shop) -> RedisTokens:
    return RedisTokens(shop.job)


@pytest.fixture
def usage(shop: Shop) -> RedisUsage:
    return RedisUsage(shop.job)


# Edits


async def test_job_without_tokens_has_none(tokens: RedisTokens):
    assert await tokens.grants() == []
    assert await tokens.mark() is None
    assert await tokens.read() == (None, {})


async def test_added_tokens_are_read_with_all_their_limits(tokens: RedisTokens):
    assert await tokens.put(BEN)
    assert await tokens.put(ANNA)

    assert await tokens.grants() == [ANNA, BEN]


async def test_token_itself_is_nowhere_in_redis(shop: Shop, tokens: RedisTokens):
    await tokens.put(grant_of("Anna", "the token"))

    assert b"the token" not in str(await shop.dump()).encode()


async def test_names_of_any_kind_are_kept_apart(tokens: RedisTokens):
    names = ["version", "a:b", "Ä ö", "worker:x", "{x}", "x\ny"]
    grants = [grant_of(name) for name in names]
    grants += [Grant(name=name, role="admin", sha256=digest(name + "!")) for name in names]

    assert [await tokens.put(grant) for grant in grants] == [True] * len(grants)
    assert sorted(await tokens.grants(), key=str) == sorted(grants, key=str)


async def test_of_two_tokens_for_one_name_the_first_stays(tokens: RedisTokens):
    first, second = grant_of("Anna", "1"), grant_of("Anna", "2")

    assert sorted(await asyncio.gather(tokens.put(first), tokens.put(second))) == [False, True]
    [kept] = await tokens.grants()
    assert kept in {first, second}


async def test_token_takes_the_place_of_the_one_that_was_looked_at_only(tokens: RedisTokens):
    await tokens.put(grant_of("Anna", "1"))
    wider = grant_of("Anna", "1", max_workers=9)

    assert not await tokens.put(wider, instead_of=digest("0"))
    assert await tokens.grants() == [grant_of("Anna", "1")]
    assert await tokens.put(wider, instead_of=digest("1"))
    assert await tokens.grants() == [wider]


async def test_nothing_takes_the_place_of_what_is_not_there(tokens: RedisTokens):
    assert not await tokens.put(ANNA, instead_of=ANNA.sha256)
    assert await tokens.grants() == []


async def test_removed_token_is_told_once(tokens: RedisTokens):
    await tokens.put(ANNA)

    assert await tokens.remove("Anna", "admin") is None
    assert await tokens.remove("Anna", "worker") == ANNA
    assert await tokens.remove("Anna", "worker") is None
    assert await tokens.grants() == []


async def test_name_of_a_removed_token_is_free(tokens: RedisTokens):
    await tokens.put(ANNA)
    await tokens.remove("Anna", "worker")

    assert await tokens.put(grant_of("Anna", "new"))
    assert await tokens.grants() == [grant_of("Anna", "new")]


async def test_each_edit_changes_the_mark(tokens: RedisTokens):
    marks = [await tokens.mark()]
    await tokens.put(ANNA)
    marks.append(await tokens.mark())
    await tokens.put(ANNA, instead_of=ANNA.sha256)
    marks.append(await tokens.mark())
    await tokens.remove("Anna", "worker")
    marks.append(await tokens.mark())

    assert len(set(marks)) == len(marks)
    assert (await tokens.read())[0] == marks[-1]


async def test_edit_that_is_refused_leaves_the_mark(tokens: RedisTokens):
    await tokens.put(ANNA)
    mark = await tokens.mark()

    assert not await tokens.put(ANNA)
    assert await tokens.mark() == mark


async def test_full_server_takes_edits(shop: Shop, tokens: RedisTokens):
    await tokens.put(ANNA)
    await tokens.remove("Anna", "worker")
    await tokens.remind(await words_of(tokens))  # the scripts are known to the server then
    await shop.redis.config_set("maxmemory", 1)
    try:
        await tokens.remind({"worker:Ben": Word(stamp=5, grant=BEN)})
        assert await tokens.put(ANNA)
        assert await tokens.remove("Anna", "worker") == ANNA
        assert await tokens.grants() == [BEN]
    finally:
        await shop.redis.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    "value", [b"", b"word", b"5 {", b'5 {"name": 1}', b"x {}", b"5 []", NO_HASH]
)
async def test_word_that_cannot_be_read_lets_nobody_in(
    shop: Shop, tokens: RedisTokens, value: bytes
):
    await tokens.put(BEN)
    await shop.redis.hset(shop.job.keys.tokens, "worker:Anna", value)

    assert await tokens.grants() == [BEN]
    assert await tokens.remove("Anna", "worker") is None
    assert await tokens.put(ANNA)
    assert await tokens.grants() == [ANNA, BEN]


# What Redis forgets


async def words_of(tokens: RedisTokens) -> Mapping[str, Word]:
    return (await tokens.read())[1]


async def test_what_was_said_comes_back_after_a_flush(shop: Shop, tokens: RedisTokens):
    await tokens.put(ANNA)
    await tokens.put(BEN)
    await tokens.remove("Ben", "worker")
    mark, words = await tokens.read()
    await shop.redis.flushall()

    await tokens.remind(words)

    assert await words_of(tokens) == words
    assert await tokens.mark() not in {None, mark}


async def test_reminder_of_what_is_there_changes_nothing(shop: Shop, tokens: RedisTokens):
    await tokens.put(ANNA)
    before = await shop.dump()

    await tokens.remind(await words_of(tokens))

    assert await shop.dump() == before


async def test_who_was_removed_after_a_flush_does_not_come_back(shop: Shop, tokens: RedisTokens):
    await tokens.put(ANNA)
    await tokens.put(BEN)
    words = await words_of(tokens)
    await shop.redis.flushall()

    await tokens.remove("Anna", "worker")
    await tokens.remind(words)

    assert await tokens.grants() == [BEN]


async def test_who_was_added_after_a_flush_stays(shop: Shop, tokens: RedisTokens):
    await tokens.put(grant_of("Anna", "old"))
    words = await words_of(tokens)
    await shop.redis.flushall()

    await tokens.put(grant_of("Anna", "new"))
    await tokens.put(BEN)
    await tokens.remind(words)

    assert await tokens.grants() == [grant_of("Anna", "new"), BEN]


async def test_removal_that_was_forgotten_comes_back(shop: Shop, tokens: RedisTokens):
    """As after a crash that lost the last second."""
    await tokens.put(ANNA)
    saved = await shop.redis.hgetall(shop.job.keys.tokens)
    await tokens.remove("Anna", "worker")
    words = await words_of(tokens)
    await shop.redis.hset(shop.job.keys.tokens, mapping=saved)

    await tokens.remind(words)

    assert await tokens.grants() == []


async def test_edit_after_a_reminder_is_the_last_word_whatever_the_clock(tokens: RedisTokens):
    ahead = Word(stamp=9_000_000_000_000_000, grant=ANNA)
    await tokens.remind({"worker:Anna": ahead})

    await tokens.remove("Anna", "worker")
    await tokens.remind({"worker:Anna": ahead})

    assert await tokens.grants() == []


# Connections


async def test_contributor_has_as_many_connections_as_it_may(usage: RedisUsage):
    assert await usage.enter(ANNA, "1")
    assert await usage.enter(ANNA, "2")
    assert not await usage.enter(ANNA, "3")

    await usage.leave(ANNA, "1")
    assert await usage.enter(ANNA, "3")


async def test_connections_at_once_are_not_one_too_many(usage: RedisUsage):
    answers = await asyncio.gather(*(usage.enter(ANNA, str(n)) for n in range(20)))

    assert sum(answers) == ANNA.max_workers


async def test_connection_counts_once(usage: RedisUsage):
    for _ in range(3):
        assert await usage.enter(ANNA, "1")
    assert await usage.enter(ANNA, "2")


async def test_token_without_a_bound_has_any_number(usage: RedisUsage):
    assert all([await usage.enter(BEN, str(n)) for n in range(50)])


async def test_bound_is_the_contributors_in_each_job_and_role(shop: Shop, usage: RedisUsage):
    one = grant_of("Anna", max_workers=1)
    elsewhere = RedisJob(shop.job.connections, "elsewhere")

    assert await usage.enter(one, "1")
    assert await usage.enter(grant_of("Ann", max_workers=1), "2")
    assert await usage.enter(Grant("Anna", "monitor", "0", max_workers=1), "3")
    assert await RedisUsage(elsewhere).enter(one, "4")


async def test_connection_that_is_resumed_counts_once(usage: RedisUsage):
    await usage.enter(ANNA, "1")
    await usage.enter(ANNA, "2")

    assert await usage.enter(ANNA, "1 again", instead_of="1")
    assert not await usage.enter(ANNA, "3")


async def test_former_connection_does_not_come_back_by_its_proxy(usage: RedisUsage):
    """Its proxy may not know yet that it is broken."""
    await usage.enter(ANNA, "1")
    await usage.enter(ANNA, "1 again", instead_of="1")

    await usage.stay(ANNA, ["1"])
    assert await usage.enter(ANNA, "2")
    await usage.leave(ANNA, "1")
    assert not await usage.enter(ANNA, "3")


async def test_connections_of_a_dead_proxy_end(usage: RedisUsage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "STAY_SECONDS", 0.4)
    await usage.enter(ANNA, "of a dead one")
    await usage.enter(ANNA, "of a live one")
    for _ in range(5):
        await asyncio.sleep(0.1)
        await usage.stay(ANNA, ["of a live one"])

    assert await usage.enter(ANNA, "new")
    assert not await usage.enter(ANNA, "one more")


async def test_connections_count_again_after_a_flush(shop: Shop, usage: RedisUsage):
    await usage.enter(ANNA, "1")
    await usage.enter(ANNA, "2")
    await shop.redis.flushall()

    await usage.stay(ANNA, ["1", "2"])

    assert not await usage.enter(ANNA, "3")


async def test_connections_that_are_gone_leave_nothing(
    shop: Shop, usage: RedisUsage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "STAY_SECONDS", 0.05)
    monkeypatch.setattr(limits, "FORMER_SECONDS", 0.05)
    await usage.enter(ANNA, "1")
    await usage.enter(ANNA, "2", instead_of="1")
    await asyncio.sleep(0.1)

    assert await shop.dump() == {}


# What was sent


async def pieces(shop: Shop, by: int) -> None:
    """Let so many pieces of time pass."""
    key = shop.job.keys.usage("worker", "Anna")
    for field, value in (await shop.redis.hgetall(key)).items():
        if field.isdigit():
            await shop.redis.hdel(key, field)
            await shop.redis.hincrby(key, int(field) - by, int(value))


async def test_what_was_sent_adds_up(shop: Shop, usage: RedisUsage):
    await usage.spend(ANNA, 3, 100)
    had = await RedisUsage(shop.job).spend(ANNA, 4, 1 << 40)

    assert (had.samples, had.bytes) == (7, 100 + (1 << 40))
    assert 55 <= had.samples_wait <= 65
    assert 0 < had.bytes_wait <= 86400
    assert (await usage.spend(BEN, 1, 1)).samples == 1


async def test_nothing_sent_is_nothing_to_wait_for(usage: RedisUsage):
    assert await usage.spend(ANNA, 0, 0) == Had(0, 0, 0, pytest.approx(43200, abs=43200))


async def test_samples_count_for_a_minute(shop: Shop, usage: RedisUsage):
    await usage.spend(ANNA, 3, 1)
    await pieces(shop, by=6)
    await usage.spend(ANNA, 4, 1)
    await pieces(shop, by=6)
    assert (await usage.spend(ANNA, 0, 0)).samples == 7

    await pieces(shop, by=1)
    later = await usage.spend(ANNA, 0, 0)
    assert (later.samples, later.bytes) == (4, 2)
    assert 25 <= later.samples_wait <= 30


async def test_bytes_count_for_a_day(shop: Shop, usage: RedisUsage):
    await usage.spend(ANNA, 1, 1000)
    await shop.redis.hincrby(shop.job.keys.usage("worker", "Anna"), "day", -1)

    assert (await usage.spend(ANNA, 1, 5)).bytes == 5


async def test_usage_is_short_however_long_it_goes_on(shop: Shop, usage: RedisUsage):
    for _ in range(40):
        await usage.spend(ANNA, 1, 1)
        await pieces(shop, by=1)

    assert len(await shop.redis.hgetall(shop.job.keys.usage("worker", "Anna"))) <= 16


async def test_full_server_counts(shop: Shop, usage: RedisUsage):
    """Or contributors with limits could not empty it."""
    await usage.enter(BEN, "0")
    await usage.stay(BEN, ["0"])
    await usage.spend(BEN, 1, 1)
    await shop.redis.config_set("maxmemory", 1)
    try:
        assert await usage.enter(ANNA, "1")
        await usage.stay(ANNA, ["2"])
        assert not await usage.enter(ANNA, "3")
        assert (await usage.spend(ANNA, 2, 2)).samples == 2
    finally:
        await shop.redis.config_set("maxmemory", 0)
