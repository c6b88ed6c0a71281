"""That benches begin, and that what they say becomes the table. Figures are made by hand."""

import argparse
import hashlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Request
from tests.bench import page
from tests.bench.figures import figures_of
from tests.bench.lengths import LONGEST, SHORTEST, length_of
from tests.bench.lengths_worker import exact
from tests.bench.peers.venvs import Peer, measured
from tests.bench.suite import BENCHES, Bench, Found, Options, chosen


class Parsed(Exception):
    """A bench has understood its command line."""


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each bench end once it knows what it is asked for."""
    parse = argparse.ArgumentParser.parse_args

    def parse_alone(parser: argparse.ArgumentParser, *given: Any) -> None:
        parse(parser, *given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_alone)


@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("bench", [b for b in BENCHES if b.here], ids=lambda bench: bench.name)
def test_bench_takes_what_the_suite_asks_of_it(
    bench: Bench, quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    options = Options(quick=quick, peers=tmp_path, cache=tmp_path)
    monkeypatch.setattr(sys, "argv", bench.command(options)[2:])

    with pytest.raises(Parsed):
        import_module(bench.program).main()


def test_try_runs_only_what_is_cheap():
    names = [bench.name for bench in chosen([], Options(quick=True))]

    assert "pipeline" in names
    assert "lengths" not in names


def test_bench_is_run_and_tells_its_figures(tmp_path: Path):
    bench = Bench("audit", "", ("--parts", "1", "--rows", "100"), runs=False)

    found = bench.run(Options(cache=tmp_path))

    assert not found.failure
    [figures] = found.figures
    assert figures.results["sound.captioned"].median == 100
    assert "peak_mib" in figures.used["sound"]


def test_bench_that_fails_says_why():
    bench = Bench("audit", "", ("--parts", "many"), runs=False, cache=False)

    assert "invalid int value: 'many'" in bench.run(Options()).failure


def test_runs_of_one_case_become_a_median_and_a_spread():
    runs = [{"rate": rate, "watched": watched} for rate in (1, 2, 9) for watched in (True, False)]

    seen, unseen = figures_of("watching", [{"bench": "watching", "runs": runs}])

    assert (seen.case, unseen.case) == ("watched", "not watched")
    assert str(seen.results["rate"]) == "2 (1 to 9)"


@pytest.mark.parametrize("size", ["bytes", "samples", "masters"])
def test_sizes_of_a_bench_are_cases_and_not_runs(size: str):
    documents = [{"bench": "memory", size: count, "mib": count} for count in (10, 20)]

    few, many = figures_of("memory", documents)

    assert (few.case, many.case) == (f"{size} 10", f"{size} 20")
    assert str(few.results["mib"]) == "10"


def test_budget_tells_its_figures():
    found = Bench("budget", "", ("--mib", "1"), runs=False, cache=False).run(Options())

    [figures] = found.figures
    assert figures.results["sizes.65537_bytes.share"].median > 0


def test_table_keeps_the_rows_of_benches_that_were_not_run_again(tmp_path: Path):
    text = f"# Benchmarks\n{page.BEGIN}\nbefore\n{page.END}\n## By hand\n"
    (tmp_path / "page.md").write_text(text)
    page.keep(Found("feed", ["feed: 1 image/s"], []), tmp_path)
    page.keep(Found("pipeline", ["pipeline: 1 image/s"], []), tmp_path)
    page.keep(Found("pipeline", ["pipeline: 2 images/s"], []), tmp_path)

    page.write(tmp_path / "page.md", page.kept(tmp_path))

    written = (tmp_path / "page.md").read_text()
    assert written.startswith("# Benchmarks\n")
    assert written.endswith("\n## By hand\n")
    assert "before" not in written
    assert written.index("pipeline: 2 images/s") < written.index("feed: 1 image/s")
    assert "pipeline: 1 image/s" not in written


def test_bench_without_words_is_told_by_its_numbers():
    found = Found("export", [], [{"format": "csv", "rows": 5}, {"format": "json", "rows": 3}])

    assert page.said_by(found) == ["csv: rows 5", "json: rows 3"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of venvs in which one is made already: the interpreter of these tests."""
    (tmp_path / "peer/bin").mkdir(parents=True)
    (tmp_path / "peer/bin/python").symlink_to(sys.executable)
    (tmp_path / "peer/installed").touch()
    return tmp_path


def test_peer_is_run_in_its_venv_and_measured(installed: Path):
    script = installed / "script.py"
    script.write_text('print("hello")\nprint(\'{"captions": 8, "work_s": 2.0}\')')

    told = measured(Peer("peer", str(script), ()), installed, installed)

    assert told["work_per_s"] == 4.0
    assert told["images_per_s"] > 0


def test_peer_that_cannot_run_is_missing_for_a_reason(installed: Path):
    script = installed / "script.py"
    script.write_text("import a_library_that_is_nowhere")

    told = measured(Peer("peer", str(script), ()), installed, installed)

    assert "No module named 'a_library_that_is_nowhere'" in told["missing"]


def test_caption_is_as_long_as_its_image_says_whoever_asks():
    data = b"an image"
    drawn = int.from_bytes(hashlib.sha256(data).digest()[:4], "big")

    sampling = exact(
        Request("1", "1", Stage("caption", "m", ("Say.",)), "Say.", data)
    ).stage.sampling

    assert sampling.max_tokens == length_of(data) == SHORTEST + drawn % (LONGEST - SHORTEST + 1)
    assert sampling.extra["ignore_eos"]
