"""View: rows and dead letters as the page takes them, see web/assets/gallery.js.

What a label stands before is a text; nothing here is markup, and the page takes nothing for it.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from caption_flow.dataset.gallery import Row
from caption_flow.dataset.gallery.plain import plain
from caption_flow.model import DeadLetter

_LABELS = {
    "format": "Format",
    "bytes": "Bytes",
    "sha256": "SHA-256",
    "prompts": "Prompts",
    "engine": "Engine",
    "settings_version": "Settings",
    "prompt_tokens": "Prompt tokens",
    "output_tokens": "Output tokens",
    "attempt": "Attempt",
    "attempts": "Tries",
    "worker": "Worker",
}
_APART = {"stages", "extra"}


def listed(row: Row) -> dict[str, Any]:
    """A row among many."""
    return {
        # By its stamp: a part that is rewritten has other rows at the same places.
        "key": f"{row.part}@{row.stamp}#{row.number}",
        "part": row.part,
        "number": row.number,
        "id": row.id,
        "shard": row.shard,
        "source": row.source,
        "captions": row.captions,
        "stages": [{"stage": one.stage, "contributor": one.contributor} for one in row.stages],
        "contributor": row.contributor,
        "flags": row.flags,
        "finish": row.finish,
        "model": row.model,
        "width": row.width,
        "height": row.height,
        "at": row.at,
    }


def whole(row: Row) -> dict[str, Any]:
    """A row by itself, with all that is known of it."""
    answers = {name: [_text(value)] for name, value in row.fields.items()}
    return listed(row) | {
        "captions": row.captions | answers,
        "facts": dict(_facts(row)),
        "columns": {name: _text(value) for name, value in row.columns.items()},
    }


def dead(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter: a row without captions, or with those of the stages that it passed."""
    sample, why = letter.sample, letter.failure
    captions: dict[str, list[str]] = {}
    for outcome in letter.outcomes:
        for name, texts in outcome.outputs.items():
            captions.setdefault(name, []).extend(plain(texts))
    return {
        "key": letter.entry,
        "letter": letter.entry,
        "id": sample.id,
        "shard": sample.shard,
        "source": sample.source,
        "captions": captions or {"given up": [plain(why.detail)]},
        "stages": [{"stage": o.stage, "contributor": o.contributor} for o in letter.outcomes],
        "contributor": why.contributor,
        "flags": [why.reason],
        "finish": [],
        "model": "",
        "width": sample.width,
        "height": sample.height,
        "at": 0,
        "facts": {
            "Given up": f"{_time(why.at)} by {why.by}",
            "Reason": why.reason,
            "Detail": plain(why.detail),
            **{
                f"Attempt before, {number}": f"{one.reason}: {plain(one.detail)}, {_time(one.at)}"
                for number, one in enumerate(letter.earlier, start=1)
            },
            "Chunk": sample.chunk,
            "Letter": letter.entry,
        },
        "columns": {name: _text(plain(value)) for name, value in sample.columns.items()},
    }


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    yield "Model", row.model
    yield "Finish", ", ".join(row.finish)
    for name, label in _LABELS.items():
        if name in row.account:
            yield label, _text(row.account[name])
    for stage in row.account.get("stages") or ():
        yield f"Stage {stage.get('stage')}", _made(stage)
    for name, value in row.account.items():
        if name not in _LABELS and name not in _APART:
            yield name, _text(value)
    yield "Beside the columns", _text(row.account.get("extra") or "")
    yield "Data set", row.dataset
    yield "Chunk", row.chunk
    yield "Row", f"{row.number} of {row.part}"


def _made(stage: Mapping[str, Any]) -> str:
    tokens = f"{stage.get('prompt_tokens')} + {stage.get('output_tokens')} tokens"
    at = str(stage.get("captioned_at")).partition(".")[0]
    return f"{stage.get('contributor') or 'own workers'}, {tokens}, {at}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
