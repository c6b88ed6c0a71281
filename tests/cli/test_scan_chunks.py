"""`caption-flow scan_chunks`, as an operator has it: tables, one document, and exit codes."""

import json
import re
import shutil
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli.test_mistakes import assert_refused
from tests.e2e.desk import Desk, Ended, settings
from tests.e2e.jobs import Job
from tests.e2e.pictures import digests, draw, rows, said
from tests.redis_server import RedisServer

SIMULATED = settings(engine="simulated", chunk_size=4, storage__rows_per_part=5)
NOBODY = ("--redis", "redis://localhost:1")  # nobody answers there


@pytest.fixture
def fed(desk: Desk, redis_url: str) -> Job:
    """Ten pictures in Redis that no worker has seen."""
    draw(desk.folder / "photos" / "a", 6)
    draw(desk.folder / "photos" / "b", 4, first=6)
    assert desk.run("feed", "photos", "--redis", redis_url, *SIMULATED).code == 0
    return Job(redis_url, "photos")


def finish(desk: Desk, redis_url: str) -> None:
    """Feed, caption and write what is left."""
    redis = ("--redis", redis_url)
    job = ("--job", "photos", "--exit-when-done")
    assert desk.run("feed", "photos", *redis, *SIMULATED).code == 0
    roles = [desk.start("worker", *redis, *job), desk.start("sink", *redis, *job, *SIMULATED)]
    assert [role.wait().code for role in roles] == [0, 0]


def scan(desk: Desk, *arguments: object) -> Ended:
    return desk.run("scan_chunks", *arguments, *SIMULATED)


def told(desk: Desk, *arguments: object, code: int) -> dict[str, Any]:
    """What the command prints as JSON, and nothing else."""
    done = scan(desk, *arguments, "--json")
    assert done.code == code, done.words
    document: dict[str, Any] = json.loads(done.out)
    return document


LOST = ["a/00000.jpg", "a/00001.jpg", "a/00002.jpg"]  # of one chunk


def delete(job: Job, *samples: str) -> None:
    """Delete samples that wait for a worker, wherever in the stream the feeder has put them."""
    lines = job.cli("XRANGE", job.key("samples:caption"), "-", "+").splitlines()
    entries = [lines[at - 1] for at, line in enumerate(lines) if line == "sample"]
    ids = [re.search(r'"id":"([^"]*)"', line)[1] for line in lines if '"id":"' in line]  # type: ignore[index]
    wanted = [entry for entry, id_ in zip(entries, ids, strict=True) if id_ in samples]
    assert job.cli("XDEL", job.key("samples:caption"), *wanted) == str(len(samples))


@pytest.mark.usefixtures("fed")
def test_sound_job_balances(desk: Desk, redis_url: str):
    before = told(desk, "photos", "--redis", redis_url, code=0)
    finish(desk, redis_url)

    done = scan(desk, "photos", "--redis", redis_url)

    assert before["totals"]["in_flight"] == 10
    assert done.code == 0
    assert done.err == ""
    assert done.out.splitlines()[-1] == (
        "Balanced: 10 planned = 0 waiting + 0 in flight + 10 captioned + 0 dead."
    )
    assert [line.split()[0] for line in done.out.splitlines() if line.strip()][2:4] == ["a", "b"]


@pytest.mark.usefixtures("fed")
def test_document_has_shards_and_chunks(desk: Desk, redis_url: str):
    document = told(desk, "photos", "--redis", redis_url, code=0)

    assert {row["shard"]: row["planned"] for row in document["shards"]} == {"a": 6, "b": 4}
    assert {row["chunk"]: row["in_flight"] for row in document["chunks"]} == {
        "a:0": 4,
        "a:4": 2,
        "b:0": 4,
    }
    assert document["balanced"]
    assert document["redis"] == {"heard": True, "left_out": ""}
    assert document["source"] == {"heard": True, "left_out": ""}


@pytest.mark.usefixtures("fed")
def test_chunks_are_listed_when_asked(desk: Desk, redis_url: str):
    few = scan(desk, "photos", "--redis", redis_url)
    every = scan(desk, "photos", "--redis", redis_url, "--chunks")

    assert "a:4" not in few.out
    assert "a:4" in every.out


def test_what_was_deleted_is_missing_until_it_is_fed_again(desk: Desk, fed: Job, redis_url: str):
    delete(fed, *LOST)
    redis = ("--redis", redis_url)

    lost = scan(desk, "photos", *redis)
    document = told(desk, "photos", *redis, code=1)
    blind = told(desk, "--job", "photos", *redis, code=1)
    mended = scan(desk, "photos", *redis, "--fix")
    again = told(desk, "photos", *redis, "--fix", code=0)
    finish(desk, redis_url)

    assert lost.code == 1
    assert lost.out.splitlines()[-1].startswith("Not balanced: 3 missing")
    assert document["missing"] == LOST
    assert (blind["totals"]["missing"], blind["missing"]) == (3, [])
    assert mended.code == 0
    assert "3 samples fed again in 1 chunk" in mended.out
    assert (again["mended"]["reissued"], again["totals"]["waiting"]) == (0, 3)
    found = rows(desk.folder / "caption_data" / "photos")
    assert said(found) == sorted(digests(desk.folder / "photos").items())
    assert told(desk, "photos", *redis, code=0)["totals"]["captioned"] == 10


def test_without_a_source_nothing_is_fed_again(desk: Desk, fed: Job, redis_url: str):
    delete(fed, *LOST)

    done = scan(desk, "--job", "photos", "--redis", redis_url, "--fix")

    assert done.code == 1
    assert "without the data set nobody can name them" in done.out


@pytest.mark.usefixtures("fed")
def test_doubled_row_is_told_with_its_parts(desk: Desk, redis_url: str):
    finish(desk, redis_url)
    parts = sorted((desk.folder / "caption_data" / "photos").glob("part-*.parquet"))
    row = pq.read_table(parts[0], partitioning=None).slice(0, 1)
    pq.write_table(row, parts[0].with_name("part-copy.parquet"))
    [id_] = row.column("id").to_pylist()

    done = scan(desk, "photos", "--redis", redis_url)
    gone = told(desk, "photos", *NOBODY, code=1)

    assert done.code == 1
    assert f"Doubled: {id_} in {parts[0].stem} and part-copy." in done.out
    assert gone["doubled"] == [{"id": id_, "parts": [parts[0].stem, "part-copy"]}]


@pytest.mark.usefixtures("fed")
def test_torn_part_is_told_and_the_rest_is_mended(desk: Desk, redis_url: str):
    finish(desk, redis_url)
    (desk.folder / "caption_data" / "photos" / "part-empty.parquet").touch()

    document = told(desk, "photos", "--redis", redis_url, "--fix", code=1)

    assert document["parts"]["unreadable"] == ["part-empty"]
    assert document["mended"]["recorded"] == 0


@pytest.mark.usefixtures("fed")
def test_parts_are_enough_when_redis_is_gone(desk: Desk, redis_url: str):
    finish(desk, redis_url)

    with_source = scan(desk, "photos", *NOBODY)
    alone = scan(desk, "--job", "photos", *NOBODY)
    unconfigured = scan(desk)

    assert [done.code for done in (with_source, alone, unconfigured)] == [0, 0, 0]
    for done in (with_source, alone):
        assert done.out.count("Redis was left out: No answer from localhost:1.") == 1
    assert "Redis was left out: None is configured." in unconfigured.out


@pytest.mark.usefixtures("fed")
def test_what_has_no_caption_is_missing_when_redis_is_gone(desk: Desk):
    document = told(desk, "photos", *NOBODY, "--fix", code=1)

    assert document["totals"]["missing"] == 10
    assert document["mended"]["reissued"] == 0
    assert "Redis is needed" in document["mended"]["left"][0]


def test_job_that_redis_forgot_is_judged_by_its_parts(desk: Desk, fed: Job, redis_url: str):
    finish(desk, redis_url)
    fed.cli("FLUSHALL")

    done = scan(desk, "photos", "--redis", redis_url)

    assert done.code == 0
    assert 'has no job "photos"' in done.out


def test_embedded_redis_that_has_ended_is_asked(desk: Desk):
    """After `run` it holds the books, and only it can have anything fed again."""
    draw(desk.folder / "photos", 6)
    assert desk.run("run", "photos", *SIMULATED).code == 0
    draw(desk.folder / "photos", 2, first=6)

    new = told(desk, "photos", code=1)
    mended = told(desk, "photos", "--fix", code=0)
    assert desk.run("run", "photos", *SIMULATED).code == 0
    shutil.rmtree(desk.folder / "caption_data" / ".redis")
    alone = told(desk, "photos", code=0)

    assert new["redis"]["heard"]
    assert new["missing"] == ["00006.jpg", "00007.jpg"]
    assert mended["mended"]["reissued"] == 2
    assert not alone["redis"]["heard"]
    found = rows(desk.folder / "caption_data" / "photos")
    assert said(found) == sorted(digests(desk.folder / "photos").items())


def test_redis_of_our_own_that_cannot_start_is_left_out(desk: Desk):
    draw(desk.folder / "photos", 1)
    (desk.folder / "caption_data").mkdir()
    (desk.folder / "caption_data" / ".redis").touch()

    document = told(desk, "photos", code=1)

    assert "No Redis can run in" in document["redis"]["left_out"]


def test_data_set_that_only_the_settings_name_may_be_elsewhere(
    desk: Desk, fed: Job, redis_url: str
):
    """As where the sinks are. Its PATH, when given, must be there."""
    (desk.folder / "photos").rename(desk.folder / "moved")
    named = settings(dataset__dataset_path="photos")

    done = scan(desk, *named, "--job", "photos", "--redis", redis_url)

    assert done.code == 0
    assert "The data set was left out: " in done.out
    assert "photos does not exist" in done.out
    assert fed.length("samples:caption") == 10


def test_evil_name_does_not_reach_the_terminal(desk: Desk):
    (desk.folder / "photos").mkdir()
    (desk.folder / "photos" / "\x1b[31m[red]odd.jpg").write_bytes(b"")

    done = scan(desk, "photos", *NOBODY)

    assert "\x1b" not in done.out
    assert "\\x1b[31m[red]odd.jpg" in done.out


# Mistakes


def test_another_data_set_is_refused(desk: Desk, fed: Job, redis_url: str):
    """All of it would be missing, and --fix would feed it."""
    draw(desk.folder / "others", 2)

    done = scan(desk, "others", "--job", "photos", "--redis", redis_url, "--fix")

    assert_refused(done, 2, '"photos"', str(desk.folder / "photos"), "--job")
    assert fed.length("chunks") == 0


def test_another_data_set_than_that_of_our_own_redis_is_refused(desk: Desk):
    """Its Redis is there, and says that it is another."""
    draw(desk.folder / "photos", 1)
    draw(desk.folder / "others", 2)
    assert desk.run("run", "photos", *SIMULATED).code == 0

    done = scan(desk, "others", "--job", "photos")

    assert_refused(done, 2, '"photos"', str(desk.folder / "photos"), "--job")


WRONG: list[tuple[tuple[str, ...], int, tuple[str, ...]]] = [
    (("nowhere",), 1, ("nowhere does not exist",)),
    ((), 2, ("caption_data has no parts", "--job", "PATH")),
    (("--fixx",), 2, ("--fixx", "--fix")),
    (("--set", "chunk_sise=3"), 2, ('did you mean "chunk_size"?',)),
    (("--redis", "http://host"), 2, ("redis", "redis://")),
    (("--job", "typo", *NOBODY), 2, ('"typo"', "No answer from localhost:1")),
]


def test_mistakes_are_told_in_their_own_words(desk: Desk):
    started = [desk.start("scan_chunks", *arguments) for arguments, _, _ in WRONG]

    for running, (_, code, pieces) in zip(started, WRONG, strict=True):
        assert_refused(running.wait(), code, *pieces)


def test_redis_that_wants_a_password_is_no_redis_that_is_gone(desk: Desk, own_server: RedisServer):
    own_server.cli("CONFIG", "SET", "requirepass", "sesame")

    done = scan(desk, "--job", "photos", "--redis", own_server.url)

    assert_refused(done, 2, "password")


def test_full_redis_is_told_and_not_waited_for(desk: Desk, own_server: RedisServer):
    draw(desk.folder / "photos", 3)
    redis = ("--redis", own_server.url)
    assert desk.run("feed", "photos", *redis, *SIMULATED).code == 0
    delete(Job(own_server.url, "photos"), "00000.jpg")
    own_server.cli("CONFIG", "SET", "maxmemory", 1)

    done = scan(desk, "photos", *redis, "--fix")

    assert_refused(done, 1, "has no memory left", "maxmemory")
    assert "Waiting" not in done.err


def test_two_jobs_in_a_folder_are_told_apart(desk: Desk):
    for job in ("one", "two"):
        folder = desk.folder / "caption_data" / job
        folder.mkdir(parents=True)
        (folder / "part-1.parquet").write_bytes(b"")

    assert_refused(scan(desk), 2, "parts of 2 jobs", "--job")
    assert scan(desk, "--job", "one").code == 1  # its part cannot be read
