"""Again: samples of dead letters are fed once more, and by nobody twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from caption_flow.feed import again
from caption_flow.feed.again import Retried
from caption_flow.feed.position import Position
from caption_flow.model import Chunk, DeadLetter, EntryId, Failure, Sample
from caption_flow.queue.dead import RedisDeadLetters
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.ports import LetterFilter, Letters
from tests.made import LEASE, folder_source, pictures
from tests.roles import Roles, ends
from tests.worker.engines import CountingEngine

ALL = LetterFilter()


class Pile:
    """Dead letters in memory, some of which somebody else takes at the last moment."""

    def __init__(self, letters: Sequence[DeadLetter], taken: Sequence[EntryId] = ()) -> None:
        self._letters = list(letters)
        self._taken = set(taken)
        self.chunks: list[Chunk] = []

    async def letters(self, wanted: LetterFilter) -> Letters:  # type: ignore[misc]
        yield [letter for letter in self._letters if wanted.admits(letter)]

    async def retry(self, chunk: Chunk, letters: Sequence[DeadLetter]) -> set[EntryId]:
        gone = self._taken & {letter.entry for letter in letters}
        if not gone:
            self.chunks.append(chunk)
        return gone

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        raise NotImplementedError

    async def retry_all(self, sampling: Any = UNSET) -> Retried:
        return await again.retry(self, self.letters(ALL), sampling)


def letter(shard: str, id_: str, **changes: Any) -> DeadLetter:
    sample = Sample(id_, "data", shard, "an old chunk", "source", **changes)
    return DeadLetter(f"{id_}-0", sample, Failure("corrupt", "it is"))


async def test_chunk_is_of_one_shard_and_has_the_names_within_it():
    pile = Pile([letter(".", "a.jpg"), letter("b/c", "b/c/a.jpg"), letter(".", "b.jpg")])

    assert await pile.retry_all() == Retried(samples=3, chunks=2)

    assert [(chunk.shard, chunk.names) for chunk in pile.chunks] == [
        (".", ("a.jpg", "b.jpg")),
        ("b/c", ("a.jpg",)),
    ]


async def test_chunks_are_told_apart_from_all_others():
    pile = Pile([letter(".", "a.jpg")])
    await pile.retry_all()
    await pile.retry_all()

    first, second = [chunk.id for chunk in pile.chunks]
    assert first != second
    assert not first.rpartition(":")[2].isdigit()  # those of a planner are


async def test_letter_that_somebody_else_took_stays_theirs():
    pile = Pile([letter(".", "a"), letter(".", "b"), letter(".", "c")], taken=["b-0"])

    assert await pile.retry_all() == Retried(samples=2, chunks=1)

    [chunk] = pile.chunks
    assert chunk.names == ("a", "c")


async def test_letters_that_are_all_taken_make_no_chunk():
    pile = Pile([letter(".", "a")], taken=["a-0"])

    assert await pile.retry_all() == Retried(samples=0, chunks=0)
    assert pile.chunks == []


async def test_sample_whose_name_cannot_be_told_is_left(caplog: pytest.LogCaptureFixture):
    pile = Pile([letter("b", "c/a.jpg"), letter("b", "b/a.jpg")])

    assert await pile.retry_all() == Retried(samples=1, chunks=1)
    assert "c/a.jpg" in caplog.text


@pytest.mark.parametrize("said", [UNSET, {"top_k": 3}])
async def test_sampling_is_what_this_retry_says(said: Any):
    """What an earlier one said is no more."""
    pile = Pile([letter(".", "a", sampling={"temperature": 0.1})])
    await pile.retry_all(said)

    assert [chunk.sampling for chunk in pile.chunks] == [said]


# With the queue and the roles


async def give_up(roles: Roles, root: Path, *numbers: int) -> RedisDeadLetters:
    """Feed a folder in which these images are bad, and mend them."""
    for number in numbers:
        (root / f"{number:05}.jpg").write_bytes(b"no image")
    await ends(roles.feeder(folder_source(root)).run())
    pictures(root, numbers)
    dead = RedisDeadLetters(roles.job.connections, roles.job.job)
    assert (await roles.counts()).dead == len(numbers)
    return dead


async def caption_all(roles: Roles) -> None:
    await ends((await roles.worker(CountingEngine())).run())
    await ends(roles.sink().run())


def ids(roles: Roles) -> list[str]:
    return sorted(row["id"] for row in roles.rows())


def names(*numbers: int) -> list[str]:
    return [f"{n:05}.jpg" for n in numbers]


async def test_mended_sample_is_captioned_once(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(6))
    dead = await give_up(roles, root, 1, 4)
    await caption_all(roles)

    await again.retry(dead, dead.letters(ALL), UNSET)
    await ends(roles.feeder(folder_source(root)).run())
    await caption_all(roles)

    assert ids(roles) == names(*range(6))
    counts = await roles.counts()
    assert (counts.done, counts.planned, counts.captioned, counts.dead) == (True, 6, 6, 0)


async def test_many_letters_make_chunks_of_a_page_each(
    roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.queue.pages.PAGE", 4)
    monkeypatch.setattr("caption_flow.queue.dead.PAGE", 4)
    dead = await give_up(roles, pictures(tmp_path / "in", range(9)), *range(9))

    assert await again.retry(dead, dead.letters(ALL), UNSET) == Retried(samples=9, chunks=3)
    assert sorted(await roles.planned()) == names(*range(9))


async def test_sample_that_is_still_bad_is_a_letter_again(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(3))
    dead = await give_up(roles, root, 1)
    (root / "00001.jpg").unlink()

    await again.retry(dead, dead.letters(ALL), {"top_k": 3})
    await ends(roles.feeder(folder_source(root)).run())

    [found] = (await roles.dead()).values()
    assert (found.failure.reason, found.sample.sampling) == ("unreadable", {"top_k": 3})


async def test_sampling_comes_with_the_sample(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(2))
    dead = await give_up(roles, root, 1)

    await again.retry(dead, dead.letters(ALL), {"top_k": 3})
    await ends(roles.feeder(folder_source(root)).run())

    entries = await roles.client.xrange(roles.job.lane.samples("caption"))
    found = [fields[b"sample"].endswith(b'"sampling":{"top_k":3}}') for _, fields in entries]
    assert found == [False, True]


class Retrying(RedisFeedQueue):
    """A queue in which somebody retries all just before a planner reads what is dead."""

    async def parts(self) -> set[str]:
        dead = RedisDeadLetters(self.connections, self.job)
        await again.retry(dead, dead.letters(ALL), UNSET)
        return await super().parts()


async def test_retry_while_a_new_plan_begins_plans_nothing_twice(roles: Roles, tmp_path: Path):
    root = pictures(tmp_path / "in", range(5))
    await give_up(roles, root, 2)
    await caption_all(roles)
    pictures(root, [7])
    queue = Retrying(roles.job, name="planner", stages=["caption"], lease_seconds=LEASE)

    await ends(roles.planner(folder_source(root), queue=queue).run())

    assert await roles.planned() == names(2, 7)


async def test_planner_that_takes_over_passes_by_what_was_retried(roles: Roles, tmp_path: Path):
    """It begins behind the retried sample's place, and finds it nowhere but in flight."""
    root = pictures(tmp_path / "in", range(5))
    dead = await give_up(roles, root, 4)
    await caption_all(roles)
    pictures(root, [0, 7])
    queue = roles.feed_queue()
    begun = Position(generation=2, shard=".", after="00001.jpg", ordinal=2).encode()
    await queue.plan(await queue.position(), begun, None, backlog=1, done=False)
    await again.retry(dead, dead.letters(ALL), UNSET)

    await ends(roles.planner(folder_source(root)).run())

    assert await roles.planned() == names(4, 7)
