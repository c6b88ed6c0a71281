"""Metrics of a job: what its snapshot says, as Prometheus takes it."""

import math
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from caption_flow.metrics import job
from caption_flow.metrics.families import answer
from caption_flow.model import Counts, Credit
from caption_flow.queue.connect import Connections
from caption_flow.queue.inspect import MOST_RANKED
from caption_flow.queue.ports import Member, Moment, Snapshot, Stream
from caption_flow.queue.ports.contributors import Standing
from caption_flow.sink.records import record
from tests.metrics.scrape import Scrape
from tests.queue.shop import Shop

NOW = 1_000_000.0
BOOKS = Counts(
    planned=100,
    plan_done=True,
    offered=60,
    completed=30,
    captioned=20,
    dead=5,
    bytes_in_flight=7_000,
    prompt_tokens=900,
    output_tokens=300,
)


def member(role: str, state: str = "working", ago: float = 0, **figures: float) -> Member:
    return Member(role, role, "host", 1, 0.0, NOW - ago, state, figures)


def text(snapshot: Snapshot, accept: str = "", **how: Any) -> str:
    return answer(job.families(snapshot, **how), accept).body.decode()


def scraped(**known: Any) -> Scrape:
    return Scrape(text(Snapshot(NOW, BOOKS, **known)))


def test_places_of_samples_add_up_to_what_is_planned():
    told = scraped()

    assert told.of("caption_flow_samples", state="in_chunks") == 40
    assert told.of("caption_flow_samples", state="in_flight") == 35
    assert told.of("caption_flow_samples", state="captioned") == 20
    assert told.of("caption_flow_samples", state="dead") == 5
    assert told["caption_flow_samples"] == told["caption_flow_samples_planned"] == 100
    assert told["caption_flow_captions_unwritten"] == 10


def test_what_may_go_down_is_a_gauge_and_tokens_are_counted():
    told = scraped()
    counters = {name for name, family in told.families.items() if family.type == "counter"}

    assert counters == {"caption_flow_prompt_tokens", "caption_flow_output_tokens"}
    assert told["caption_flow_output_tokens_total"] == 300


def test_stream_is_told_with_its_stage_and_the_age_of_its_oldest_entry():
    told = scraped(streams=(Stream("samples:look", 3, 4, NOW - 12), Stream("captions", 0, 0)))

    assert told.of("caption_flow_stream_waiting_entries", stream="samples", stage="look") == 3
    assert told.of("caption_flow_stream_held_entries", stream="samples", stage="look") == 4
    assert told.of("caption_flow_stream_oldest_age_seconds", stage="look") == 12
    assert told.of("caption_flow_stream_oldest_age_seconds", stream="captions", stage="") == 0


def test_rate_is_that_of_the_books():
    before = Moment(NOW - 60, 10, 5, 60)
    told = scraped(history=(before,))

    assert told.of("caption_flow_samples_per_second", window="1m") == 20 / 60
    assert told.of("caption_flow_output_tokens_per_second", window="1m") == 4
    assert told["caption_flow_left_seconds"] == 65 / (20 / 60)


def test_ceiling_of_all_workers_is_told_with_the_share_that_the_last_minute_made():
    before = Moment(NOW - 60, 10, 5, 60)
    told = scraped(history=(before,), members=(member("worker", ceiling=0.25),) * 2)

    assert told["caption_flow_ceiling_captions_per_second"] == 0.5
    assert told["caption_flow_ceiling_ratio"] == pytest.approx((20 / 60) / 0.5)


def test_ceiling_that_some_worker_does_not_know_or_cannot_have_is_not_told():
    known = member("worker", ceiling=0.25)
    for other in ({}, {"ceiling": -1.0}, {"ceiling": math.nan}, {"ceiling": math.inf}):
        told = scraped(members=(known, member("worker", **other)))

        assert not {name for name in told.names if "ceiling" in name}


def test_nothing_is_told_of_the_time_left_where_nobody_knows_it():
    assert "caption_flow_left_seconds" not in scraped().names


def test_exactly_one_thing_limits_the_job():
    assert scraped(paused=True).ones("caption_flow_limit", "kind") == ["paused"]


def test_members_are_counted_by_what_they_do():
    told = scraped(
        members=(
            member("worker", slots=8, running=3),
            member("worker", "working: hands back samples: of the host x", slots=2, running=2),
            member("worker", "a word of a stranger\n"),
            member("worker", ago=60, slots=100),
            member("feed", budget_bytes=500, budget_samples=50),
            member("feed", budget_bytes=400, budget_samples=60),
            member("stranger", budget_bytes=1),
        )
    )

    assert told.of("caption_flow_members", role="worker", state="working") == 2
    assert told.of("caption_flow_members", role="worker", state="silent") == 1
    assert told.of("caption_flow_members", role="worker", state="other") == 1
    assert told.of("caption_flow_members", role="sink", state="working") == 0
    assert told.of("caption_flow_members", role="other", state="working") == 1
    assert (told["caption_flow_engine_slots"], told["caption_flow_engine_running"]) == (10, 5)
    assert (told["caption_flow_budget_bytes"], told["caption_flow_budget_samples"]) == (400, 50)


def test_rare_reasons_are_told_together():
    reasons = {f"reason {n}": 1000 - n for n in range(job.MOST_REASONS + 3)}
    told = scraped(reasons=reasons)

    assert told["caption_flow_dead_letters"] == sum(reasons.values())
    assert told.of("caption_flow_dead_letters", reason="reason 0") == 1000
    assert told.of("caption_flow_dead_letters", reason="other") == sum(
        reasons[f"reason {n}"] for n in range(job.MOST_REASONS, job.MOST_REASONS + 3)
    )


async def test_captions_of_all_contributors_are_told(connections: Connections):
    """Of those beyond the first hundred together, of our own by themselves, however few."""
    shop = Shop(connections)
    made = {f"c{n:03}": Credit(1000 - n) for n in range(MOST_RANKED + 2)}
    whole = made | {"": Credit(1)}
    total = sum(one.captions for one in whole.values())
    await shop.sink().record_part("part", record(total, whole))

    told = Scrape(text(await shop.inspector.snapshot(), contributors=True))

    name = "caption_flow_contributor_captions"
    assert told[name] == total
    assert told.of(name, contributor="(own)") == 1
    assert told.of(name, contributor="c099") == 901
    assert told.of(name, contributor="other") == 900 + 899


def test_contributors_are_told_where_that_is_wanted_and_whatever_they_are_called():
    name = 'a"b\\c\nd'
    board = (
        Standing("contributor", name, 1, 1, Credit(7, 1, 1), 1.0),
        Standing("own", "", 0, 1, Credit(3, 1, 1), 1.0),
    )
    snapshot = Snapshot(NOW, BOOKS, leaderboard=board)

    told = Scrape(text(snapshot, contributors=True))
    assert told.of("caption_flow_contributor_captions", contributor=name) == 7
    assert told.of("caption_flow_contributor_captions", contributor="(own)") == 3
    assert "contributor" not in text(snapshot)


def test_openmetrics_is_spoken_to_who_asks_for_it():
    wanted = "application/openmetrics-text; version=1.0.0"
    told = text(Snapshot(NOW, BOOKS, (member("worker"),)), wanted)

    names = {family.name for family in text_string_to_metric_families(told)}
    assert {"caption_flow_samples", "caption_flow_output_tokens"} <= names
