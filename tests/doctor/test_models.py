"""The doctor and models: on this host, on the hub, and of others who ask for them."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from caption_flow.cli.doctor_engine import EngineRounds
from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.sizes import GIB
from caption_flow.config.vllm import Stage
from tests.doctor.hub import WEIGHTS, hub
from tests.doctor.practice import Practice, Report
from tests.doctor.rigs import LARGE, rig, work
from tests.made import settings
from tests.redis_server import free_port

__all__ = ["rig"]


# Models


@pytest.fixture
def models(rig: Practice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """A rig that reaches a hub."""
    rig.plug_in(LARGE)
    with hub() as address:
        go_to(address, monkeypatch)
        yield rig


def go_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library look for the hub there."""
    for module in ("constants", "hf_api", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.ENDPOINT", address, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setenv("HF_ENDPOINT", address)


def test_model_of_the_hub_is_measured_and_not_downloaded(models: Practice):
    report = work(models, "org/open")

    assert report.bad() == []
    size = f"{WEIGHTS / GIB:.1f} GiB"
    told = f"org/open is on the hub, {size} of weights to be downloaded."
    assert report.of("model")["said"] == told
    assert list(models.folder.rglob("*.incomplete")) == []


def test_model_that_needs_leave_is_found(models: Practice):
    said, cure = work(models, "org/gated").only("model", "problem")

    assert said == "org/gated is for those only to whom its owners have given access."
    assert "/org/gated, and give a token that may (HF_TOKEN" in cure


def test_model_that_the_hub_does_not_have_is_found(models: Practice):
    said, cure = work(models, "org/secret").only("model", "problem")

    assert said == "The hub has no model org/secret, or does not show it to us."
    assert "Mend vllm.model" in cure


def test_hub_that_cannot_be_reached_is_a_warning(rig: Practice, monkeypatch: pytest.MonkeyPatch):
    """As on a host without a network."""
    rig.plug_in(LARGE)
    go_to(f"http://127.0.0.1:{free_port()}", monkeypatch)

    said, cure = work(rig, "org/far").only("model", "warning")

    assert said.startswith("org/far is not here, and the hub does not tell of it (")
    assert cure.startswith("See to the network")


def test_name_that_no_model_can_have_is_found(models: Practice):
    said, cure = work(models, "org/my model").only("model", "problem")

    assert said == "The hub has no model org/my model, or does not show it to us."
    assert "Mend vllm.model" in cure


def test_folder_of_a_model_that_is_closed_to_us_is_found(
    rig: Practice, monkeypatch: pytest.MonkeyPatch
):
    """The tests may run as root, who is kept out of nothing."""
    rig.plug_in(LARGE)
    closed, is_dir = rig.folder / "closed", Path.is_dir

    def look(path: Path) -> bool:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", look)

    said, cure = work(rig, closed).only("model", "problem")

    assert said.endswith(f"cannot be read: {closed}: Permission denied.")
    assert "let this user read it" in cure


# What a contributor allows


async def contribute(told: Broadcast, **allows: object) -> Report:
    """Look at what a worker would do here for a job of others."""
    config = WorkerConfig(server="wss://project.example", **allows)
    rounds, found = EngineRounds(told, config, None, os.environ, imports=False), []
    await rounds.make(found)
    return Report(0, [msgspec.to_builtins(one) for one in found])


@pytest.mark.usefixtures("models")
async def test_stage_that_the_operator_does_not_allow_is_found():
    told = settings(
        engine="vllm",
        stages=(
            Stage("tell", "org/open", ("Tell.",)),
            Stage("read", "org/open", ("Read.",), engine_args={"hf_config_path": "/etc"}),
        ),
    )

    report = await contribute(told)

    [bad] = report.bad()
    assert (bad["check"], bad["state"]) == ("consent", "problem")
    assert bad["said"].startswith('A worker here declines stage "read": ')
    assert "hf_config_path" in bad["said"]
    assert "docs/consent.md" in bad["cure"]
    assert report.of("model")["said"].startswith("org/open is on the hub")


@pytest.mark.usefixtures("models")
async def test_model_of_a_stage_that_is_declined_is_not_looked_for():
    told = settings(engine="vllm", stages=(Stage("tell", "/etc", ("Tell.",)),))

    report = await contribute(told)

    assert [one["check"] for one in report.bad()] == ["consent"]
    assert report.of("model")["said"] == "Every stage is declined."


@pytest.mark.usefixtures("models")
async def test_engines_of_others_share_what_the_operator_gives():
    told = settings(
        engine="vllm",
        stages=(Stage("a", "org/open", ("Tell.",)), Stage("b", "org/other", ("Tell.",))),
    )

    report = await contribute(told, vllm={"gpu_memory_utilization": 0.9})

    said = [one["said"] for one in report.findings if one["check"] == "GPU memory"]
    assert len(said) == 2
    assert all("vLLM may use 35.8 GiB of the 79.6 GiB" in one for one in said)


def test_model_that_was_not_downloaded_is_found(rig: Practice):
    rig.plug_in(LARGE)

    said, cure = work(rig, "org/never-seen").only("model", "problem")

    assert "is not among what was downloaded, and HF_HUB_OFFLINE" in said
    assert "hf download org/never-seen" in cure


def test_model_that_is_not_whole_is_found(rig: Practice):
    rig.plug_in(LARGE)
    folder = rig.model()
    index = '{"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(index)

    said, cure = work(rig, folder).only("model", "problem")

    assert "lacks 1 files of weights, such as model-00002-of-00002.safetensors." in said
    assert cure


def test_folder_that_is_no_model_is_found(rig: Practice):
    rig.plug_in(LARGE)

    said, cure = work(rig, rig.folder / "nothing").only("model", "problem")

    assert said == f"There is no folder {rig.folder / 'nothing'}."
    assert "ORG/NAME" in cure
