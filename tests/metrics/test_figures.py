"""Figures of a role: each has its metric, so that none is forgotten when one is added."""

from pathlib import Path
from typing import Any

from caption_flow.bench.kept import Known, keep, key
from caption_flow.config import WorkerConfig
from caption_flow.lifecycle import Drain
from caption_flow.metrics.families import answer
from caption_flow.metrics.job import STATES
from caption_flow.metrics.process import FIGURES, families
from caption_flow.metrics.vitals import Vitals
from caption_flow.proxy.common import Figures
from caption_flow.queue.ports import Member
from caption_flow.worker.crew import Crew, Outfit
from caption_flow.worker.watch import Told
from tests.made import folder_source, pictures, settings
from tests.metrics.scrape import Scrape
from tests.roles import Roles, brisk, roles

__all__ = ["brisk", "roles"]


def told(role: str, figures: dict[str, float]) -> Scrape:
    vitals = Vitals(role)
    vitals.hear(Member(role, "me", "host", 1, 0.0, 0.0, "working", figures), 0.0)
    return Scrape(answer(families(vitals), "").body.decode())


def known(role: str) -> set[str]:
    return set(FIGURES[role])


def test_figures_of_a_feeder_are_told(roles: Roles, tmp_path: Path):
    feeder = roles.feeder(folder_source(pictures(tmp_path / "in", [1])))
    feeder.tally.reasons["unreadable"] += 2

    figures = feeder.figures()

    assert {name for name in figures if ":" not in name} <= known("feed")
    assert told("feed", figures)["caption_flow_feed_failed_samples_total"] == 2


def test_figures_of_a_worker_are_told():
    nothing: Any = None
    outfit = Outfit(engine=nothing, queue=nothing, references=lambda _: nothing)
    crew = Crew(nothing, Told(1, "", settings()), outfit, WorkerConfig(), name="me", drain=Drain())

    assert set(crew.figures()) <= known("worker")


def test_worker_tells_the_ceiling_that_was_measured_of_its_engine(tmp_path: Path):
    path = tmp_path / "ceilings.json"
    keep(path, key(settings(), ["caption"], ""), 41.5)

    figures = Known(path, {}).figures((settings(), ["caption"]), "")

    assert set(figures) <= known("worker")
    assert told("worker", figures)["caption_flow_worker_ceiling_captions_per_second"] == 41.5


def test_figures_of_a_sink_are_told(roles: Roles):
    assert set(roles.sink().figures()) <= known("sink")


def test_figures_of_a_proxy_are_told():
    assert set(Figures.__struct_fields__) == known("proxy")


def test_process_says_who_it_is_and_what_it_does():
    scrape = told("sink", {"rows": 2.0})
    [who] = [s for s in scrape.samples if s.name == "caption_flow_process_info"]

    assert (who.labels["role"], who.labels["member"]) == ("sink", "me")
    assert scrape.ones("caption_flow_process_state", "state") == ["working"]
    assert scrape["caption_flow_process_state"] == 1
    assert len(STATES) == len(set(STATES))
