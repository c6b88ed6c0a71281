"""Ceilings that are kept: found for the same engine on the same host, and for no other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from caption_flow.bench import kept
from caption_flow.config import JobConfig
from caption_flow.config.broadcast import Broadcast, broadcast
from caption_flow.config.sampling import Sampling

MODEL = "/home/me/models/secret"
STAGES = ["caption"]


@pytest.fixture
def settings() -> Broadcast:
    made = broadcast(JobConfig(engine="simulated"))
    return replace(made, stages=tuple(replace(stage, model=MODEL) for stage in made.stages))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = kept.place({"XDG_STATE_HOME": str(tmp_path)})
    assert path is not None
    return path


def test_worker_with_the_same_engine_tells_it(path: Path, settings: Broadcast):
    kept.keep(path, kept.key(settings, STAGES, "H100"), 41.5)

    known = kept.Known(path, {"batch_size": None})

    assert known.figures((settings, STAGES), "H100") == {"ceiling": 41.5}
    assert known.figures((settings, STAGES), "A100") == {}
    assert known.figures(None, "H100") == {}


@pytest.mark.parametrize(
    "changes", [{"batch_size": 3}, {"stages": {"sampling": Sampling(max_tokens=7)}}, {"own": 1}]
)
def test_other_settings_have_another(path: Path, settings: Broadcast, changes: dict[str, object]):
    kept.keep(path, kept.key(settings, STAGES, ""), 41.5)
    own = {"max_model_len": changes.pop("own", None)}
    stages = changes.pop("stages", {})
    assert isinstance(stages, dict)
    other = replace(settings, stages=(replace(settings.stages[0], **stages),), **changes)

    assert kept.find(path, kept.key(other, STAGES, "", own)) is None


def test_file_names_no_model_and_keeps_the_newest(
    path: Path, settings: Broadcast, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept, "MOST", 2)
    keys = [kept.key(settings, STAGES, gpu) for gpu in "abc"]
    for number, key in enumerate(keys):
        kept.keep(path, key, 1.0 + number)

    assert [kept.find(path, key) for key in keys] == [None, 2.0, 3.0]
    assert "secret" not in path.read_text()


def test_file_that_cannot_be_read_or_written_is_none(path: Path):
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.write_text("in the way")

    kept.keep(path, "key", 1.0)

    assert kept.find(path, "key") is None


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"\xff", b'{"\xff":{"rate":1,"at":1}}', b'{"key":{"rate":-1,"at":1}}']
)
def test_file_that_is_broken_is_none_and_is_made_anew(path: Path, broken: bytes):
    path.parent.mkdir()
    path.write_bytes(broken)

    assert kept.find(path, "key") is None
    kept.keep(path, "key", 2.0)
    assert kept.find(path, "key") == 2.0


def test_benches_that_end_together_keep_both(path: Path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: kept.keep(path, str(number), 1.0 + number), range(50)))

    assert [kept.find(path, str(number)) for number in range(50)] == [1.0 + n for n in range(50)]


def test_file_is_for_its_user_alone_also_after_one_was_killed_at_writing(path: Path):
    path.parent.mkdir()
    path.with_suffix(".new").write_text("half of")

    kept.keep(path, "key", 2.0)

    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"ceilings.json", "ceilings.lock"}


def test_user_without_a_home_has_no_ceilings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as of a container's number of a user

    assert kept.place({}) is None
    kept.keep(None, "key", 1.0)
    assert kept.find(None, "key") is None
