"""Whom we fetch from: said by who runs a command, and handed to the workers that it starts."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from caption_flow.cli import run
from caption_flow.cli.running import download_limits, source_of
from caption_flow.config import DatasetConfig, DownloadConfig, JobConfig
from caption_flow.fetch import DownloadLimits
from caption_flow.supervisor.job import Plan
from tests.cli import sources

ECHO = ("--engine", "simulated", "--set", "dataset.type=echo")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[JobConfig, Plan]]:
    """What `run` would start, which is another's test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("caption_flow.dataset.source.entry_points", sources.echoing)
    seen: list[tuple[JobConfig, Plan]] = []
    monkeypatch.setattr(run, "_run", lambda config, plan, *_: seen.append((config, plan)) or 0)
    return seen


def test_run_hands_its_networks_to_its_workers(planned: list[tuple[JobConfig, Plan]]):
    flags = ["--allow-network", "10.1.0.0/16", "--allow-network", "127.0.0.1"]

    done = CliRunner().invoke(run.command, ["photos", *ECHO, *flags])

    assert done.exit_code == 0, done.output
    [(config, plan)] = planned
    assert config.dataset.allow_networks == ("10.1.0.0/16", "127.0.0.1")
    assert [" ".join(words).count("--allow-network") for words in plan.workers] == [2]


def test_path_may_be_a_url(planned: list[tuple[JobConfig, Plan]]):
    url = "https://host.example//a/{0..9}.tar?x=1"

    CliRunner().invoke(run.command, [url, *ECHO])

    assert planned[0][0].dataset.dataset_path == url


def test_downloads_are_limited_as_configured():
    assert download_limits(DownloadConfig()) == DownloadLimits()
    assert download_limits(DownloadConfig(tries=2)) == DownloadLimits(tries=2)


def test_source_is_told_what_the_document_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("caption_flow.dataset.source.entry_points", sources.echoing)
    dataset = DatasetConfig(
        type="echo",
        dataset_path="user/repo",
        name="n",
        revision="r",
        split="s",
        dataset_config="c",
        columns=("a",),
        image_root="root",
        dataset_image_column="i",
        dataset_url_column="u",
        cache_dir="cache",
        fetch="worker",
        allow_networks=("10.0.0.0/8",),
        download=DownloadConfig(tries=2),
    )

    options = source_of(JobConfig(dataset=dataset)).options  # type: ignore[attr-defined]

    assert (options.path, options.name, options.revision) == ("user/repo", "n", "r")
    assert (options.split, options.subset, options.columns) == ("s", "c", ("a",))
    assert (options.image_root, options.image_column, options.url_column) == ("root", "i", "u")
    assert (options.cache_dir, options.images) == ("cache", "reference")
    assert (options.allow_networks, options.download.tries) == (("10.0.0.0/8",), 2)
