"""Command line: what `try` shows, for programs: one JSON object a line."""

import json
from collections.abc import Mapping
from typing import Any, TextIO

from msgspec.structs import asdict

from caption_flow.config.broadcast import Broadcast
from caption_flow.preview.told import Passage, Shown, Summary, Told


class JsonLines:
    """An object for each image and setting."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, settings: Mapping[str, Broadcast]) -> None:
        """Nothing: there are objects of images only."""

    def show(self, label: str, shown: Shown) -> None:
        """Write one."""
        why, sample = shown.failure, shown.sample
        self._write(
            {
                "image": sample.source,
                "settings": label,
                "width": sample.width,
                "height": sample.height,
                "columns": sample.columns,
                "stages": [_stage(passage) for passage in shown.passages],
                "failure": why and {**asdict(why), "stage": shown.stage},
            }
        )

    def end(self, sums: Mapping[str, Summary]) -> None:
        """Nothing, likewise."""

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=False)
        # A terminal may be what reads it: whatever that would obey is escaped, as JSON can.
        self._out.write("".join(c if c.isprintable() else _escaped(c) for c in text) + "\n")
        self._out.flush()


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if not character.isascii() else f"\\u{ord(character):04x}"


def _stage(passage: Passage) -> dict[str, Any]:
    stage = passage.stage
    return {
        "stage": stage.name,
        "output_field": stage.output_field,
        "prompts": [_told(told) for told in passage.told],
    }


def _told(told: Told) -> dict[str, Any]:
    kept, answer = told.kept, told.answer
    return {
        "system_prompt": kept.system_prompt,
        "prompt": kept.prompt,
        "caption": answer and answer.text,
        "raw": kept.text,
        "fields": answer.fields if answer else {},
        "flags": answer.flags if answer else (),
        "finish_reason": kept.finish_reason,
        "prompt_tokens": told.prompt_tokens,
        "output_tokens": told.output_tokens,
        "seconds": round(told.seconds, 4),
        "tries": [one.text for one in told.tries],
    }
