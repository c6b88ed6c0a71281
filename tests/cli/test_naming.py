"""Names of jobs: after their data set, wherever that lies, and the same on every host."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.cli.naming import (
    dataset_identity,
    dataset_type,
    job_name,
    known_job,
    refuse_own_captions,
)
from caption_flow.config import DatasetConfig, JobConfig
from caption_flow.config.schema import StorageConfig
from caption_flow.dataset import earlier
from caption_flow.errors import ConfigError


def config(path: str, kind: str = "webdataset", **dataset: str) -> JobConfig:
    return JobConfig(dataset=DatasetConfig(type=kind, dataset_path=path, **dataset))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("user/repo", "repo"),
        ("user/repo@v2", "repo"),
        ("hf://datasets/user/repo", "repo"),
        ("hf://datasets/user/repo@main/data/*.tar", "repo"),
        ("https://host.example/data/cc12m-train-{0000..2175}.tar", "cc12m-train"),
        ("https://host.example/cc12m/{0000..2175}.tar", "cc12m"),
        ("https://host.example/{0000..2175}.tar", "host.example"),
        ("https://host.example/list.csv.gz", "list"),
        ("https://host.example/v1.5/", "v1.5"),
        ("https://host.example:8443/?token=hush", "host.example-8443"),
        ("https://me:hush@host.example/a.parquet", "a"),
        ("https://a.example/x.tar::https://b.example/y.tar", "x"),
        ("data/{00..10}.tar", "data"),
        ("data/part-*.parquet", "part"),
    ],
)
def test_job_is_named_after_its_data_set(path: str, name: str):
    assert job_name(config(path)) == name


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("user/repo", "webdataset:hf://datasets/user/repo"),
        ("user/repo@v2", "webdataset:hf://datasets/user/repo"),
        ("hf://datasets/user/repo", "webdataset:hf://datasets/user/repo"),
        ("hf://datasets/user/repo@v2/x/*.tar", "webdataset:hf://datasets/user/repo/x/*.tar"),
        ("HTTPS://Host.Example/a/{0..9}.tar", "webdataset:https://host.example/a/{0..9}.tar"),
        (
            "https://me:hush@h.example:8443/a.tar?sig=hush",
            "webdataset:https://h.example:8443/a.tar",
        ),
        (
            "https://a.example/x.tar::https://b.example/y.tar",
            "webdataset:https://a.example/x.tar::https://b.example/y.tar",
        ),
    ],
)
def test_what_lies_elsewhere_is_the_same_on_every_host(
    path: str, identity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    assert dataset_identity(config(path)) == identity


@pytest.mark.parametrize("kind", ["folder", "webdataset"])
def test_what_lies_here_is_told_by_its_whole_path(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "user" / "repo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    here = config("user/repo", kind)

    assert dataset_identity(here) == f"{kind}:{tmp_path / 'user' / 'repo'}"
    assert job_name(here) == "repo"


def test_a_pattern_of_files_here_is_told_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    assert dataset_identity(config("data/{0..9}.tar")) == f"webdataset:{tmp_path}/data/{{0..9}}.tar"


def test_folder_whose_name_looks_like_a_repository_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    identity = dataset_identity(config("user/photos", "folder"))

    assert identity == f"folder:{tmp_path / 'user' / 'photos'}"


def test_configured_names_win():
    named = config("user/repo", name="My photos!")

    assert (job_name(named), dataset_identity(named)) == ("My-photos", "webdataset:My photos!")
    assert job_name(JobConfig(job="j", dataset=named.dataset)) == "j"


def test_job_of_a_document_that_names_nothing_is_not_known():
    assert known_job(JobConfig()) is None
    with pytest.raises(ConfigError, match=r"^dataset\.dataset_path is missing"):
        job_name(JobConfig())


def test_known_job_is_named_after_its_data_set():
    assert known_job(config("user/repo")) == "repo"


def parts(folder: Path, *names: str) -> Path:
    """A folder with these files, empty."""
    folder.mkdir(parents=True)
    for name in names or ("part-1.parquet", ".part-2.tmp"):
        (folder / name).touch()
    return folder


def test_captions_of_an_earlier_job_are_told_from_a_folder_of_images(tmp_path: Path):
    job, other = parts(tmp_path / "photos"), parts(tmp_path / "more")

    assert dataset_identity(config(str(job), "folder")) == f"captions:{job}"
    both = config(f"{job}::{other}", "folder")
    assert dataset_identity(both) == f"captions:{job}::{other}"
    assert (dataset_type(both), job_name(both)) == ("captions", "photos-again")


def test_hidden_files_do_not_matter_to_a_folder_of_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(earlier, "_LOOKED_AT", 1)
    hidden = [f".part-{n}.merged" for n in range(100)]

    job = parts(tmp_path / "photos", *hidden, ".notes.txt", "part-1.parquet")

    assert dataset_type(config(str(job), "folder")) == "captions"


@pytest.mark.parametrize("kind", ["captions", "folder", "webdataset"])
def test_a_path_in_the_home_folder_is_told_by_its_whole_path(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data" / "photos").mkdir(parents=True)

    for path in ("~/data/photos", "~/data/nowhere"):
        assert dataset_identity(config(path, kind)) == f"{kind}:{tmp_path}{path[1:]}"
    assert job_name(config("~/data/photos", kind)).startswith("photos")


@pytest.mark.parametrize("names", [("1.jpg", "part-1.parquet"), ("a.parquet",), (".hidden",)])
def test_other_folders_stay_what_they_are(tmp_path: Path, names: tuple[str, ...]):
    folder = parts(tmp_path / "photos", *names)

    assert dataset_type(config(str(folder), "folder")) == "folder"


def test_a_kind_that_is_configured_stays(tmp_path: Path):
    assert dataset_type(config(str(parts(tmp_path / "photos")), "urls")) == "urls"


def test_folders_of_captions_are_told_by_their_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    identity = dataset_identity(config("data/a::data/b", "captions"))

    assert identity == f"captions:{tmp_path}/data/a::{tmp_path}/data/b"


def test_a_job_does_not_caption_what_it_writes(tmp_path: Path):
    job = parts(tmp_path / "photos")
    made = replace(
        config(str(job), "folder"), job="photos", storage=StorageConfig(data_dir=str(tmp_path))
    )

    with pytest.raises(ConfigError, match=r"The job photos would write into .*another name"):
        refuse_own_captions(made)
    refuse_own_captions(replace(made, job="better"))
