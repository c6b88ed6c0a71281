"""Traces of samples: nothing where nobody asks, and the same ones in every process."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from textwrap import dedent
from typing import Any

import pytest
from msgspec import Struct

from caption_flow import traces
from tests import require

ASKED = {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "60000"}


class Picture(Struct, frozen=True):
    id: str
    chunk: str = "c"


PICTURES = [Picture(f"{n}.jpg") for n in range(400)]


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin and end with a process that traces nothing, and is not asked to."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(traces, "_tracing", None)


def begin(monkeypatch: pytest.MonkeyPatch, **environ: str) -> None:
    require(find_spec("opentelemetry.sdk"), "OpenTelemetry")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    traces.begin("worker", "photos", "me")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**ASKED, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_loaded_where_no_trace_is_asked_for(environ: dict[str, str]):
    program = """
        import sys
        from caption_flow import traces
        traces.begin("worker", "photos", "me")
        sample = type("Sample", (), {"id": "a", "chunk": "b"})
        assert traces.mark(sample) is None
        with traces.span("visit", sample):
            traces.first("offer", sample, traces.now())
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", dedent(program)], env=clean | environ, check=True)


def test_user_who_asks_for_traces_without_the_library_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(sys.modules, "caption_flow.traces.otel", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with caplog.at_level("WARNING", "caption_flow"):
        traces.begin("worker", "photos", "me")

    assert "pip install 'caption-flow[traces]'" in caplog.text
    assert traces.mark(PICTURES[0]) is None


def marks() -> dict[str, Any]:
    return {one.id: found for one in PICTURES if (found := traces.mark(one)) is not None}


def test_share_that_is_traced_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch):
    share = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    begin(monkeypatch, **ASKED, **share)
    first = marks()
    traces.begin("sink", "photos", "another")

    assert marks() == first
    assert 0 < len(first) < len(PICTURES)


def test_sample_that_is_fed_again_has_another_trace(monkeypatch: pytest.MonkeyPatch):
    begin(monkeypatch, **ASKED)
    once, again = traces.mark(Picture("a.jpg", "c")), traces.mark(Picture("a.jpg", "retry"))

    assert once is not None
    assert again is not None
    assert once.trace != again.trace


def test_sample_of_any_name_is_told_of_and_how_it_failed():
    require(find_spec("opentelemetry.sdk"), "OpenTelemetry")
    program = """
        from caption_flow import traces
        traces.begin("worker", "photos", "me")
        odd = type("Sample", (), {"id": "\\udcff.jpg", "chunk": "c"})
        try:
            with traces.span("visit", odd, stage="look"):
                raise ValueError("broken")
        except ValueError:
            pass
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        env=os.environ | ASKED,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == ""  # which is for what commands print
    told = json.loads(done.stderr)
    assert told["attributes"]["caption_flow.sample"] == "\\udcff.jpg"
    assert told["attributes"]["caption_flow.stage"] == "look"
    assert told["status"]["status_code"] == "ERROR"
    assert told["resource"]["attributes"]["service.instance.id"] == "me"
