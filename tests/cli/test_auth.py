"""`caption-flow auth`: tokens are made, added, changed, removed and listed, and shown once."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from msgspec import Struct

from caption_flow.cli import main
from caption_flow.config import load_job
from caption_flow.errors import CaptionFlowError
from caption_flow.grants import ROLES, Grant, digest, new_token
from caption_flow.queue.connect import connect
from caption_flow.queue.feed import RedisFeedQueue
from caption_flow.queue.job import RedisJob
from caption_flow.queue.tokens import RedisTokens
from tests.e2e.desk import Desk
from tests.made import settings

DAY = 86_400
TOKEN = re.compile(r"cf_[\w-]{43}")


class Done(Struct, frozen=True):
    code: int
    out: str
    err: str


class Office:
    """An operator's desk, with a job of one stage that runs."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        asyncio.run(self._publish())

    def auth(self, *words: object, stdin: str = "") -> Done:
        verb, *rest = map(str, words)
        return self.run("auth", verb, "--redis", self.url, *rest, stdin=stdin)

    def run(self, *words: str, stdin: str = "") -> Done:
        done = CliRunner().invoke(main.cli, words, input=stdin)
        if isinstance(done.exception, CaptionFlowError):
            return Done(done.exception.exit_code, done.stdout, str(done.exception))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    def document(self, **auth: Any) -> None:
        document = {"engine": "simulated", "job": "j", "auth": auth}
        (self.folder / "orchestrator.yaml").write_text(yaml.safe_dump(document))

    def grants(self) -> list[Grant]:
        async def read() -> list[Grant]:
            async with connect(self.url, role="test") as wires:
                return await RedisTokens(RedisJob(wires, "j")).grants()

        return asyncio.run(read())

    async def _publish(self) -> None:
        async with connect(self.url, role="test") as wires:
            job = RedisJob(wires, "j")
            feeder = RedisFeedQueue(job, name="f", stages=["caption"], lease_seconds=60.0)
            await feeder.publish(settings().encode(), "data")


@pytest.fixture
def office(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Office(tmp_path, redis_url)


# generate


@pytest.mark.parametrize("role", ROLES)
def test_generated_token_is_taken_by_a_document(office: Office, role: str):
    done = office.run("auth", "generate", "Änne 1", "--role", role)

    token = done.out.splitlines()[0]
    assert TOKEN.fullmatch(token)
    snippet = done.out[done.out.index("auth:") : done.out.index("\n\nThe token")]
    (office.folder / "orchestrator.yaml").write_text(snippet)
    [grant] = load_job("orchestrator", None, {}).config.auth.grants()
    assert (grant.name, grant.role, grant.sha256) == ("Änne 1", role, digest(token))
    assert digest(token) in done.out


def test_generated_tokens_differ(office: Office):
    tokens = {office.run("auth", "generate").out.splitlines()[0] for _ in range(5)}

    assert len(tokens) == 5


def test_generate_asks_no_redis(desk: Desk):
    done = desk.run("auth", "generate")

    assert done.code == 0, done.words
    assert "name: NAME" in done.out


# add


def test_added_token_is_shown_once_and_only_its_hash_is_kept(office: Office):
    done = office.auth("add", "Anna", "--job", "j")

    token, *_ = done.out.splitlines()
    [grant] = office.grants()
    assert TOKEN.fullmatch(token)
    assert grant == Grant(name="Anna", role="worker", sha256=digest(token), added=grant.added)
    assert time.time() - grant.added < 60
    assert f"  export CAPTION_FLOW_TOKEN={token}\n" in done.out
    assert "  caption-flow worker --server wss://HOST:8765\n" in done.out
    assert done.out.endswith(
        'Added the token of "Anna" as worker. Proxies follow within a second.\n'
    )


def test_limits_of_an_added_token_are_kept(office: Office):
    done = office.auth(
        *("add", "Anna", "--expires", "30d", "--stage", "caption", "--max-workers", 4),
        *("--samples-per-minute", 600, "--bytes-per-day", "10GiB", "--trusted", "--anonymous"),
    )

    [grant] = office.grants()
    assert done.err == ""
    assert grant.expires == pytest.approx(time.time() + 30 * DAY, abs=60)
    assert grant.stages == ("caption",)
    assert (grant.max_workers, grant.samples_per_minute) == (4, 600)
    assert grant.bytes_per_day == 10 << 30
    assert grant.trusted
    assert grant.anonymous


def test_date_of_expiry_is_of_utc(office: Office):
    office.auth("add", "Anna", "--expires", "2099-01-31")

    [grant] = office.grants()
    assert grant.expires == datetime(2099, 1, 31, tzinfo=UTC).timestamp()


def test_stage_that_the_job_does_not_have_is_told(office: Office):
    done = office.auth("add", "Anna", "--stage", "captoin")

    assert done.code == 0
    assert done.err == 'Warning: The job has no stage "captoin"; it has caption.\n'


@pytest.mark.parametrize("how", ["hash", "stdin"])
def test_token_that_was_made_elsewhere_is_added_and_not_shown(office: Office, how: str):
    token = new_token()
    given = ("--token-sha256", digest(token)) if how == "hash" else ("--token-stdin",)

    done = office.auth("add", "Anna", *given, stdin=token + "\n")

    [grant] = office.grants()
    assert done.code == 0
    assert grant.sha256 == digest(token)
    assert token not in done.out + done.err
    assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Anna", "--token-sha256", "12"), "64 hexadecimal digits"),
        (("Anna", "--token-stdin"), "at least|20 to 500"),
        (("Anna", "--token-stdin", "--keep-token"), "Give one of"),
        (("Anna", "--expires", "soon"), '"soon" is no time'),
        (("Anna", "--expires", "2020-01-31"), "has passed"),
        (("Anna", "--stage", "a b"), "no name of a stage"),
        (("Anna", "--bytes-per-day", "many"), "no size above 0"),
        (("Anna", "--bytes-per-day", "0"), "no size above 0"),
        (("Anna", "--max-workers", "0"), "x>=1"),
        (("Anna", "--role", "boss"), "worker"),
        ((" Anna",), "is no name"),
        (("An\x1bna",), "is no name"),
        (("x" * 101,), "is no name"),
        (("",), "is no name"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_added(
    office: Office, words: tuple[str, ...], said: str
):
    done = office.auth("add", *words, stdin="short\n")

    assert done.code == 2
    assert re.search(said, done.err)
    assert "short" not in done.err
    assert office.grants() == []


def test_name_has_one_token_for_each_role(office: Office):
    office.auth("add", "Anna")
    before = office.grants()

    again = office.auth("add", "Anna")
    assert again.code == 1
    assert again.out == ""
    assert "--replace" in again.err
    assert office.grants() == before
    assert office.auth("add", "Anna", "--role", "monitor").code == 0


def test_token_is_replaced_when_asked_to(office: Office):
    office.auth("add", "Anna", "--max-workers", 3)

    token, *_ = office.auth("add", "Anna", "--replace").out.splitlines()

    [grant] = office.grants()
    assert (grant.sha256, grant.max_workers) == (digest(token), None)


def test_limits_are_changed_and_the_token_stays(office: Office):
    token, *_ = office.auth("add", "Anna", "--max-workers", 3).out.splitlines()
    [before] = office.grants()

    done = office.auth("add", "Anna", "--keep-token", "--max-workers", 9)

    [grant] = office.grants()
    assert done.out.startswith('Changed the token of "Anna" as worker.')
    assert (grant.sha256, grant.max_workers, grant.added) == (digest(token), 9, before.added)


def test_token_that_is_not_there_is_not_changed(office: Office):
    office.auth("add", "Anna")

    done = office.auth("add", "Ana", "--keep-token")

    assert done.code == 1
    assert 'did you mean "Anna"?' in done.err


@pytest.mark.parametrize("where", ["document", "Redis"])
def test_token_has_one_owner(office: Office, where: str):
    token = new_token()
    if where == "document":
        office.document(feeder_tokens=[{"name": "Ben", "token": token}])
    else:
        office.auth("add", "Ben", "--role", "feeder", "--token-sha256", digest(token))

    done = office.auth("add", "Anna", "--token-stdin", stdin=token)

    assert done.code == 1
    assert '"Ben" as feeder' in done.err
    assert "Anna" not in [grant.name for grant in office.grants()]


def test_command_that_is_told_is_for_the_role_and_the_listener(office: Office):
    (office.folder / "orchestrator.yaml").write_text("job: j\nport: 9000\nno_ssl: true\n")

    done = office.auth("add", "Anna", "--role", "feeder")

    assert "  caption-flow feed --server ws://HOST:9000\n" in done.out


# remove


def test_removed_token_is_gone(office: Office):
    office.auth("add", "Anna")
    office.auth("add", "Anna", "--role", "admin")
    office.auth("add", "Ben")

    done = office.auth("remove", "Anna")

    assert done.out == 'Removed the token of "Anna" as worker, admin.\n'
    assert [grant.name for grant in office.grants()] == ["Ben"]


def test_token_of_one_role_is_removed(office: Office):
    office.auth("add", "Anna")
    office.auth("add", "Anna", "--role", "admin")

    done = office.auth("remove", "Anna", "--role", "admin")

    assert done.out == 'Removed the token of "Anna" as admin.\n'
    assert [grant.role for grant in office.grants()] == ["worker"]


def test_name_without_a_token_is_told_with_the_nearest(office: Office):
    office.auth("add", "Anna")

    done = office.auth("remove", "Ana")

    assert done.code == 1
    assert 'no such token of "Ana"; did you mean "Anna"?' in done.err


def test_token_of_the_document_is_good_until_it_is_taken_out_there(office: Office):
    office.document(worker_tokens=[{"name": "Anna", "token": new_token()}])
    office.auth("add", "Anna")

    done = office.auth("remove", "Anna")

    assert done.code == 1
    assert done.out == 'Removed the token of "Anna" as worker.\n'
    assert "stands in the document, in auth.worker_tokens" in done.err


# list


def test_list_tells_who_may_come_in_and_how_far(office: Office):
    listed = new_token()
    old = {"name": "Old", "token": listed, "expires": "2020-01-31", "samples_per_minute": 1000}
    office.document(monitor_tokens=[old])
    added = office.auth("add", "Anna", "--stage", "caption", "--bytes-per-day", "1GiB")
    token, *_ = added.out.splitlines()

    done = office.auth("list")

    *table, last = done.out.splitlines()
    [anna] = [line for line in table if "Anna" in line]
    [expired] = [line for line in table if "Old" in line]
    assert last == "2 tokens, 1 of them good."
    assert "worker  stages caption, 1.0 GiB a day  never" in re.sub(" {3,}", "  ", anna)
    assert "Redis" in anna
    assert "1,000 samples a minute" in expired
    assert "2020-01-31 00:00 UTC (expired)" in expired
    assert "document" in expired
    for secret in (token, listed, digest(token), digest(listed)):
        assert secret not in done.out


def test_list_for_programs_is_json_lines_without_secrets(office: Office):
    token, *_ = office.auth("add", "Anna", "--max-workers", 3).out.splitlines()
    [grant] = office.grants()

    done = office.auth("list", "--json")

    [line] = done.out.splitlines()
    assert json.loads(line) == {
        "name": "Anna",
        "role": "worker",
        "max_workers": 3,
        "added": grant.added,
        "sha256_begins": digest(token)[:8],
        "where": "Redis",
        "expired": False,
    }


def test_names_cannot_command_the_terminal(office: Office):
    office.document(worker_tokens=[{"name": "A\x1b[31m", "token": new_token()}])

    assert "\x1b" not in office.auth("list").out


def test_job_without_tokens_has_none_to_list(office: Office):
    assert office.auth("list").out == "0 tokens, 0 of them good.\n"
    assert office.auth("list", "--json").out == ""


def test_job_that_is_not_there_is_told(office: Office):
    done = office.auth("add", "Anna", "--job", "other")

    assert done.code == 1
    assert 'no job "other"' in done.err
