"""`caption-flow contributors`: who made how much is told; what somebody made is taken back."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from caption_flow.cli.contributors_report import as_line, markdown
from caption_flow.codec import records
from caption_flow.grants import Grant, digest
from caption_flow.model import Credit
from caption_flow.queue.contributors import RedisContributors
from caption_flow.queue.ports import Member
from caption_flow.queue.ports.checks import Disagreement
from caption_flow.queue.ports.contributors import Contributor
from caption_flow.queue.tokens import RedisTokens
from tests.audit.archive import Archive
from tests.audit.office import ALL, Office
from tests.e2e.desk import Desk, Ended, Running
from tests.roles import (
    JOB,
    Roles,
    brisk,
    roles,
    until,
)

__all__ = ["brisk", "roles"]


@pytest.fixture
def archive(roles: Roles, tmp_path: Path) -> Iterator[Archive]:
    office = Office(roles, tmp_path / "pictures")
    yield Archive(office)
    office.close()


class Operator:
    """Runs commands about contributors."""

    def __init__(self, desk: Desk, url: str, data_dir: Path) -> None:
        self._desk = desk
        self._where = ("--redis", url, "--job", JOB, "--data-dir", data_dir)

    def start(self, *words: object) -> Running:
        return self._desk.start("contributors", words[0], *self._where, *words[1:])

    async def run(self, *words: object) -> Ended:
        return await asyncio.to_thread(self.start(*words).wait)

    async def told(self, *words: object) -> str:
        done = await self.run(*words)
        assert done.code == 0, done.words
        return done.out


@pytest.fixture
def operator(desk: Desk, redis_url: str, archive: Archive) -> Operator:
    return Operator(desk, redis_url, archive.roles.folder.path.parent)


def board(archive: Archive) -> RedisContributors:
    return RedisContributors(archive.roles.job.connections, JOB)


async def grant(archive: Archive, name: str) -> RedisTokens:
    tokens = RedisTokens(archive.roles.job)
    assert await tokens.put(Grant(name, "worker", digest(name)))
    return tokens


async def test_list_tells_what_the_rows_tell(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    await board(archive).spent("bob", 7200.0, anonymous=True)

    lines = [json.loads(line) for line in (await operator.told("list", "--json")).splitlines()]
    listed = await operator.told("list")

    told = {line["name"]: (line["captions"], line["output_tokens"]) for line in lines}
    assert told == {"ada": (5, 35), "bob": (3, 21)}
    assert [line["anonymous"] for line in lines] == [False, True]
    assert "2 contributors made 8 captions, the operator's own 0." in listed
    assert "bob (anonymous)" in listed
    assert "2.0" in listed


async def test_nobody_is_listed_where_nobody_was(archive: Archive, operator: Operator):
    await archive.office.plan()

    assert await operator.told("list") == "No caption is in a part yet.\n"


async def test_markdown_is_the_leaderboard(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    await board(archive).spent("bob", 1.0, anonymous=True)

    section = await operator.told("list", "--markdown")

    assert section.splitlines() == [
        "## Contributors",
        "",
        "| | contributor | captions | tokens | hours |",
        "|---:|:---|---:|---:|---:|",
        "| 1 | ada | 5 | 35 | 0.0 |",
        "|  | &#40;anonymous&#58; 1&#41; | 3 | 21 | 0.0 |",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("a|b", "<script>alert(1)</script>", "[x](https://evil.example)"),
        *("![](https://t.example/p)", "www.evil.example", "`code`", "**bold**", "_it_"),
        *("a\nb", "\u202eevil", "\x1b[31m", "&lt;"),
    ],
)
def test_name_of_a_stranger_stays_text(name: str):
    *_, line = markdown([Contributor(name, Credit(1, 2, 3))]).splitlines()

    assert line.startswith("| 1 | ")
    cell = line.split(" | ")[1]
    assert not set(cell) & set("|<>[]()!`*_.:/\\\n\x1b\u202e")
    assert "&lt;" not in cell


def test_long_name_is_cut():
    *_, line = markdown([Contributor("x" * 1000, Credit(1))]).splitlines()

    assert len(line) < 120


def test_everything_is_in_a_line():
    told = json.loads(as_line(Contributor("ada", Credit(1, 2, 3), checked=4, agreed=3)))

    assert told["captions"] == 1
    assert (told["checked"], told["agreed"]) == (4, 3)
    assert "credit" not in told


async def test_show_tells_all_of_one(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    await archive.roles.client.hset(archive.office.lane.contributors, "ada:checked", 8)
    await archive.roles.client.hset(archive.office.lane.contributors, "ada:agreed", 6)
    await archive.roles.job.beat(Member("worker", "ada/rig", "rig", 1, 0.0, 2e9, "working"))

    shown = await operator.told("show", "ada")

    assert shown.startswith("ada\n")
    assert "captions      5" in shown
    assert "failures      1" in shown
    assert "checked       8, of which 6 agreed (75%)" in shown
    assert "1970-01-01    5 captions" in shown
    assert "worker        ada/rig, working, on rig" in shown


async def test_show_tells_what_others_disagree_with(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    found = [
        Disagreement("a/1.jpg", "again", "a red circle", "a bl\x1bue\nsky", 0.25, 86_400.0),
        Disagreement("k.jpg", "known", "a star", "a fish", 0.5, 0.0),
    ]
    lane = archive.office.lane
    counters = {"ada:checked": 4, "ada:agreed": 2, "ada:agreement": 2.75, "ada:unanswered": 3}
    await archive.roles.client.hset(lane.contributors, mapping=counters)
    await archive.roles.client.rpush(lane.disagreements("ada"), *map(records.encode, found))

    shown = await operator.told("show", "ada")

    assert "checked       4, of which 2 agreed (50%); 0.69 alike on average" in shown
    assert "unanswered    3 samples whose captions are known" in shown
    assert "1970-01-02" in shown
    assert "a/1.jpg, 0.25 alike\n    made again       a red circle\n" in shown
    assert "k.jpg, 0.50 alike\n    known to be      a star\n    it said          a fish" in shown
    assert "\x1b" not in shown


async def test_unknown_name_is_answered_with_the_nearest(archive: Archive, operator: Operator):
    await archive.in_the_middle()

    for command in ("show", "revoke"):
        done = await operator.run(command, "adda", *["--yes"][: command == "revoke"])
        assert done.code == 1
        assert 'knows no contributor "adda". Did you mean "ada"?' in done.err


async def test_revoke_removes_the_token_and_lets_go_what_is_held(
    archive: Archive, operator: Operator
):
    await archive.all_offered()
    tokens = await grant(archive, "ada")
    await (await archive.worker("ada")).claim(3)

    told = await operator.told("revoke", "ada", "--yes")

    assert "Removed the token of ada" in told
    assert await tokens.grants() == []
    assert len(await (await archive.worker("bob")).claim(4)) == 4


async def test_revoke_needs_somebody_who_agrees(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    tokens = await grant(archive, "ada")

    done = await operator.run("revoke", "ada")

    assert (done.code, len(await tokens.grants())) == (2, 1)
    assert "--yes" in done.err


async def test_dry_run_changes_nothing(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    tokens = await grant(archive, "ada")

    told = await operator.told("revoke", "ada", "--requeue", "--dry-run")

    assert told == (
        "Would remove the token of ada and take back 8 samples: 5 rows of 2 parts, 2 on their way, "
        "1 dead letters.\n"
    )
    assert len(await tokens.grants()) == 1
    assert archive.makers()["ada"] == 5


async def test_what_was_made_is_taken_back(archive: Archive, operator: Operator):
    await archive.in_the_middle()
    await grant(archive, "ada")

    told = await operator.told("revoke", "ada", "--requeue", "--yes")

    assert "Took back 8 samples: 5 rows of 2 parts, 2 on their way, 1 dead letters." in told
    await archive.check()
    await archive.finish()


async def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    archive: Archive, operator: Operator
):
    await archive.in_the_middle()
    lane, client = archive.office.lane, archive.roles.client

    for moment in (
        lambda: client.xlen(lane.dead),  # what was on its way, or bob's letter: soon
        lambda: client.hlen(lane.rewrites),  # before the files are replaced
        lambda: is_over(archive),
    ):
        running = operator.start("revoke", "ada", "--requeue", "--yes")
        await until(moment)
        running.kill()
        assert (await archive.office.look()).missing == ()
        assert (await archive.office.look()).doubled == ()
    assert (await operator.run("revoke", "ada", "--requeue", "--yes")).code == 0

    await archive.check()
    await archive.finish()
    assert archive.makers().total() == ALL - 1  # bob's dead letter stays


async def is_over(archive: Archive) -> bool:
    return archive.makers()["ada"] == 0
