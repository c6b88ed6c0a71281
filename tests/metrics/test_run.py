"""A job of several processes, watched from outside: its metrics, its log lines and its traces."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec import Struct

from tests import require
from tests.e2e.desk import Desk, Ended, Running, settings, wait_until
from tests.e2e.jobs import Job
from tests.e2e.pictures import draw, rows
from tests.metrics.scrape import Scrape, Seen, get
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
IMAGES = 30
SOMETIMES = {  # told only where somebody can tell
    "caption_flow_left_seconds",
    "caption_flow_ceiling_captions_per_second",
    "caption_flow_ceiling_ratio",
    "caption_flow_worker_ceiling_captions_per_second",
    *(
        f"caption_flow_worker_gpu_{what}"
        for what in ("memory_bytes", "memory_used_bytes", "use_ratio")
    ),
}
ROLES = ("feed", "worker", "sink", "proxy")
MONITOR, WORKER = "cf_the-token-of-max", "cf_the-token-of-ann"
DOCUMENT = f"""
engine: simulated
job: photos
host: 127.0.0.1
port: 0
auth:
  monitor_tokens: [{{name: max, token: {MONITOR}}}]
  worker_tokens: [{{name: ann, token: {WORKER}}}]
proxy: {{page: {{loopback: false}}}}
dataset: {{dataset_path: photos}}
storage: {{seconds_per_part: 1}}
"""


class Collector:
    """Takes spans as a collector of OpenTelemetry does, by OTLP over HTTP."""

    def __init__(self) -> None:
        told_by = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        self.spans: list[Any] = []
        self.roles: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told = told_by.ExportTraceServiceRequest.FromString(body)
                collector.take(told)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """It has nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, told: Any) -> None:
        for process in told.resource_spans:
            self.roles.add(attributes(process.resource)["caption_flow.role"])
            self.spans += [span for scope in process.scope_spans for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes(told: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in told.attributes}


class Watched(Struct):
    """What was seen of a run."""

    scrapes: dict[str, Scrape]  # by role, at the end of each
    while_fed: Scrape  # of the proxy
    texts: dict[str, str]
    proxy: dict[str, Seen]  # what its own address answered
    lines: dict[str, list[str]]  # on standard error
    rows: list[dict[str, Any]]
    collector: Collector


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    require(find_spec("opentelemetry.exporter.otlp.proto.http"), "OpenTelemetry's exporter")
    folder = tmp_path_factory.mktemp("watched")
    collector = Collector()
    with RedisServer(folder / "redis") as server, Desk(folder / "desk") as desk:
        yield _watch(desk, server, collector)
    collector.close()


def _watch(desk: Desk, server: RedisServer, collector: Collector) -> Watched:
    draw(desk.folder / "photos", IMAGES)
    (desk.folder / "photos" / "broken.jpg").write_text("no image")
    (desk.folder / "orchestrator.yaml").write_text(DOCUMENT)
    environ = {
        "CAPTION_FLOW_REDIS": server.url,
        "CAPTION_FLOW_LOG_FORMAT": "json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    # A feeder ends as soon as all is offered, so here it is held up by its budget until we looked.
    small = settings(budget__samples=5)
    running = {
        "feed": desk.start("feed", "--metrics-port", 0, *small, environ=environ),
        "proxy": desk.start("proxy", "--metrics-port", 0, environ=environ),
    }
    texts = {"feed": _text(running["feed"], "feed_samples_total", 5)}
    while_fed = _text(running["proxy"], "budget_samples", 5)
    for role in ("worker", "sink"):
        running[role] = desk.start(role, "--metrics-port", 0, environ=environ)
    assert running["feed"].wait().code == 0
    Job(server.url, "photos").wait_for("captioned", IMAGES)
    texts["worker"] = _text(running["worker"], "worker_samples_total", IMAGES)
    texts["sink"] = _text(running["sink"], "sink_rows_total", IMAGES)
    texts["proxy"] = _text(running["proxy"], "job_done", 1)
    answers = _at_its_address(_port(running["proxy"].out, r"ws://127.0.0.1:(\d+)"))
    lines = {role: _ended(one).err.splitlines() for role, one in running.items()}
    return Watched(
        {role: Scrape(text) for role, text in texts.items()},
        Scrape(while_fed),
        texts,
        answers,
        lines,
        rows(desk.folder / "caption_data" / "photos"),
        collector,
    )


def _ended(running: Running) -> Ended:
    return running.wait() if running.ended else running.terminate()


def _text(running: Running, name: str, least: float) -> str:
    """Scrape a process until it tells so much; a figure is at most a second old."""
    at = wait_until(lambda: re.search(r"127\.0\.0\.1:(\d+)/metrics", running.err), "its port")

    def look() -> str:
        assert not running.ended, running.wait().words
        text = get(int(at[1]), "/metrics").body
        told = Scrape(text)
        name_ = f"caption_flow_{name}"
        return text if name_ in told.names and told[name_] >= least else ""

    return wait_until(look, name)


def _port(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


def _at_its_address(port: int) -> dict[str, Seen]:
    bearers = {"nobody": {}, "max": _bearer(MONITOR), "ann": _bearer(WORKER)}
    told = {who: get(port, "/metrics", headers) for who, headers in bearers.items()}
    return told | {path: get(port, path) for path in ("/healthz", "/readyz", "/health")}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Metrics


def test_metrics_at_the_end_are_what_the_rows_say(watched: Watched):
    job, found = watched.scrapes["proxy"], watched.rows

    assert len(found) == IMAGES
    assert job.of("caption_flow_samples", state="captioned") == IMAGES
    assert job.of("caption_flow_samples", state="dead") == 1
    assert job["caption_flow_samples"] == job["caption_flow_samples_planned"] == IMAGES + 1
    assert job.of("caption_flow_dead_letters", reason="not_an_image") == 1
    for kind in ("prompt", "output"):
        tokens = sum(row[f"{kind}_tokens"] for row in found)
        assert job[f"caption_flow_{kind}_tokens_total"] == tokens > 0
    assert job.of("caption_flow_contributor_captions", contributor="(own)") == IMAGES
    assert job.ones("caption_flow_limit", "kind") == ["done"]


def test_counters_of_the_processes_are_what_the_rows_say(watched: Watched):
    assert watched.scrapes["worker"]["caption_flow_worker_samples_total"] == IMAGES
    assert watched.scrapes["sink"]["caption_flow_sink_rows_total"] == IMAGES
    assert watched.scrapes["sink"]["caption_flow_sink_open_rows"] == 0


def test_each_process_says_what_it_is(watched: Watched):
    for role, scrape in watched.scrapes.items():
        [who] = [s.labels for s in scrape.samples if s.name == "caption_flow_process_info"]
        assert who["role"] == role
        assert f"-{role}-" in who["member"]
        [job] = [s.labels for s in scrape.samples if s.name == "caption_flow_job_info"]
        assert job["name"] == "photos"


def test_metrics_at_the_address_of_a_proxy_are_for_who_may_watch(watched: Watched):
    assert [watched.proxy[who].status for who in ("nobody", "max", "ann")] == [401, 200, 403]
    assert Scrape(watched.proxy["max"].body)["caption_flow_samples_planned"] == IMAGES + 1


def test_health_of_a_proxy_is_for_everybody(watched: Watched):
    assert [watched.proxy[p].status for p in ("/healthz", "/readyz", "/health")] == [200] * 3
    assert watched.proxy["/readyz"].body == "Ready: working.\n"


@pytest.mark.parametrize("role", ROLES)
def test_metrics_are_accepted_by_promtool(watched: Watched, role: str):
    require(shutil.which("promtool"), "promtool, of Prometheus")

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=watched.texts[role],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_dashboard_asks_for_metrics_that_there_are(watched: Watched):
    asked = _named((ROOT / "examples" / "grafana.json").read_text())

    assert len(asked) > 20
    assert asked - _all_names(watched) - SOMETIMES == set()


def test_page_names_each_metric_and_no_other(watched: Watched):
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = set(re.findall(r"^\| `(caption_flow_\w+)", page, re.MULTILINE))

    there = {name for name in _all_names(watched) if name.startswith("caption_flow_")}
    assert told == there | SOMETIMES


def _named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:caption_flow|process)_[a-z_]+", text)) - {"process_"}


def _all_names(watched: Watched) -> set[str]:
    return watched.while_fed.names.union(*(s.names for s in watched.scrapes.values()))


# Log lines

ALWAYS = {"time", "level", "message", "logger", "role"}
SOMETIMES_SAID = {"job", "member", "sample", "chunk", "part", "contributor", "exception"}


def test_each_line_is_an_object_with_the_same_fields(watched: Watched):
    for role, lines in watched.lines.items():
        for line in lines:
            told = json.loads(line)
            assert told.keys() >= ALWAYS, line
            assert told.keys() <= ALWAYS | SOMETIMES_SAID, line
            assert told["role"] == role
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])


def test_line_on_a_sample_has_its_ids_as_fields(watched: Watched):
    [line] = [json.loads(x) for x in watched.lines["feed"] if "Gave up" in x]

    assert line["level"] == "warning"
    assert line["sample"] == "broken.jpg"
    assert line["chunk"]
    assert (line["job"], line["role"]) == ("photos", "feed")
    assert "-feed-" in line["member"]


def test_line_on_a_part_has_its_name_as_a_field(watched: Watched):
    lines = [json.loads(x) for x in watched.lines["sink"] if "Published" in x]

    assert lines
    assert all(line["part"] in line["message"] for line in lines)


# Traces


def test_sample_has_one_trace_from_its_offer_to_its_part(watched: Watched):
    traces: dict[bytes, list[Any]] = defaultdict(list)
    for span in watched.collector.spans:
        traces[span.trace_id].append(span)
    captioned = {row["id"] for row in watched.rows}
    of = {attributes(spans[0])["caption_flow.sample"]: spans for spans in traces.values()}

    assert watched.collector.roles == {"feed", "worker", "sink"}
    assert len(traces) == len(of)
    assert of.keys() == captioned | {"broken.jpg"}
    [offer] = of["broken.jpg"]
    assert attributes(offer)["caption_flow.failure"] == "not_an_image"
    for sample in captioned:
        _is_a_whole_trace(of[sample], sample)


def _is_a_whole_trace(spans: list[Any], sample: str) -> None:
    named = {span.name: span for span in spans}
    assert sorted(span.name for span in spans) == ["commit", "complete", "engine", "offer", "visit"]
    assert {attributes(span)["caption_flow.sample"] for span in spans} == {sample}
    offer, visit = named["offer"], named["visit"]
    assert offer.parent_span_id == b""
    assert {named[n].parent_span_id for n in ("visit", "complete", "commit")} == {offer.span_id}
    assert named["engine"].parent_span_id == visit.span_id
    assert attributes(named["engine"])["caption_flow.stage"] == "caption"
    order = [named[n].start_time_unix_nano for n in ("offer", "visit", "engine", "commit")]
    assert order == sorted(order)
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in spans)
