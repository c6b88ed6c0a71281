"""A summary and facts, for cards."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from caption_flow.export.hub.card import Facts
from caption_flow.export.stats import Summary, Texts
from caption_flow.model import Credit
from tests.view.parts import SCHEMA

SUMMARY = Summary(
    rows=12_345,
    empty=5,
    outputs={"captions": Texts(12_340, 12_340, 3, 155.04, 400), "tags": Texts(1, 1, 9, 9.0, 9)},
    shards=3,
    datasets={"photos": 12_345},
    models={"Qwen/Qwen2.5-VL-7B": 12_345},
    engines={"vllm": 12_345},
    prompts={"3f2a9c1d": 12_000, "00ff00ff": 345},
    settings_versions={1: 12_000, 2: 345},
    stages={"caption": 12_345},
    finish_reasons={"stop": 12_345},
    formats={"jpeg": 12_345},
    contributors={"ann": Credit(9000, 1, 1), "": Credit(3000, 1, 1), "bob": Credit(345, 1, 1)},
    output_tokens=77,
    first=datetime(2026, 1, 1, tzinfo=UTC),
    last=datetime(2026, 1, 3, tzinfo=UTC),
)
FACTS = Facts(
    repo="ann/caps",
    schema=SCHEMA,
    version="1.2.3",
    license="cc-by-4.0",
    sources=("hf://datasets/ann/photos",),
    fingerprints={"caption": "3f2a9c1d"},
    prompts={"caption": ("Describe the image.\n\nIn one sentence.",)},
    sampling={"caption": {"temperature": 0.7, "max_tokens": 256}},
    anonymous=frozenset({"bob"}),
)


def facts(**changes: Any) -> Facts:
    return replace(FACTS, **changes)


def summary(**changes: Any) -> Summary:
    return replace(SUMMARY, **changes)
