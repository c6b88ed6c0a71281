"""Proxy: what comes of comparing one caption of a contributor. No I/O."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from caption_flow.queue.ports.checks import SHOWN, Disagreement, Kind, Verdict


def verdict(
    contributor: str,
    sample: str,
    kind: Kind,
    *,
    expected: str,
    given: str,
    found: float,
    least: float,
) -> Verdict:
    """Say whether a caption agrees as much as it must, and keep it where it does not."""
    if found >= least:
        return Verdict(contributor, found, None)
    told = Disagreement(
        *(_shortened(sample), kind, _shortened(expected), _shortened(given), found, time.time())
    )
    return Verdict(contributor, found, told)


def in_words(texts: Sequence[str], fields: Mapping[str, Any]) -> str:
    """Write an answer so that a person can compare it."""
    return msgspec.json.encode(fields).decode() if fields else " / ".join(texts)


def _shortened(text: str) -> str:
    cut = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return "".join(c if c.isprintable() else " " for c in cut)
