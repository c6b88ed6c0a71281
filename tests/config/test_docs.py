"""The page on configuration says what the code does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from caption_flow.config import load_job, load_monitor, load_worker
from caption_flow.config.check import fields
from caption_flow.config.layers import SCHEMAS
from caption_flow.config.legacy import IGNORED, REFUSED, RENAMED
from caption_flow.config.schema import Kind
from caption_flow.config.values import Settings
from caption_flow.config.words import options, plain_type

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
KEY = re.compile(r"^\| `([^`]+)` \| (.+?) \| .*\|$", re.MULTILINE)
HEADS: dict[Kind, str] = {"job": "## The job", "worker": "## A worker", "monitor": "## The monitor"}


def rows(kind: Kind) -> dict[str, str]:
    """Return the default of each key, as the tables of one document say it."""
    section = PAGE.partition(f"\n{HEADS[kind]}\n")[2].partition("\n## ")[0]
    return dict(KEY.findall(section))


def leaves(cls: type[Settings], above: str = "") -> Iterator[str]:
    for name, info in fields(cls).items():
        base, _ = plain_type(options(info.type)[0])
        inner: Any = get_args(base)[0] if get_origin(base) is tuple else base
        nested = isinstance(inner, type) and issubclass(inner, Settings)
        if not nested or inner is not base:
            yield f"{above}{name}"
        if nested:
            yield from leaves(inner, f"{above}{name}{'' if inner is base else '[]'}.")


# The four lists of tokens are of the same items, told once.
TOLD_ONCE = re.compile(r"^auth\.(feeder|monitor|admin)_tokens\[\]\.")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_page_has_each_field_and_no_other(kind: Kind):
    expected = {path for path in leaves(SCHEMAS[kind]) if not TOLD_ONCE.match(path)}

    assert set(rows(kind)) == expected


@pytest.mark.parametrize("kind", SCHEMAS)
def test_default_on_the_page_is_the_default_in_the_code(kind: Kind):
    told = {path: text for path, text in rows(kind).items() if "[]" not in path}
    given = {path: text.strip("`").replace("\\|", "|") for path, text in told.items()}
    overrides = {path: text for path, text in given.items() if text != "none"}
    load = {"job": lambda o: load_job("feed", None, o), "monitor": lambda o: load_monitor(None, o)}

    loaded = load.get(kind, lambda o: load_worker(None, o))(overrides)

    assert loaded.config == SCHEMAS[kind]()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_field_without_a_default_is_none_in_the_code(kind: Kind):
    for path in [path for path, text in rows(kind).items() if text == "none" and "[]" not in path]:
        value: Any = SCHEMAS[kind]()
        for name in path.split("."):
            value = value and getattr(value, name)  # in a section that is not there itself
        assert value is None


@pytest.mark.parametrize("kind", SCHEMAS)
def test_page_has_each_old_key(kind: Kind):
    renamed = [entry.old for entry in RENAMED[kind] if "stages[]" not in entry.old]

    missing = [key for key in [*IGNORED[kind], *REFUSED[kind], *renamed] if f"`{key}`" not in PAGE]

    assert missing == []
