"""What tests give to roles: pictures, settings, and captions as they are made of them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.dataset import DownloadConfig
from caption_flow.config.openai import OpenaiConfig
from caption_flow.config.schema import ImagesConfig, SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.dataset.source import SourceOptions
from caption_flow.model import (
    Caption,
    Outcome,
    Sample,
)
from feeders.folder import FolderSource

PATIENCE = 20.0  # seconds until a condition must hold
LEASE = 60.0  # seconds; no lease of a test ends by itself


def jpeg(number: int, side: int = 8) -> bytes:
    """A small image like no other."""
    out = io.BytesIO()
    tint = (number % 256, number // 256 % 256, 90)
    Image.new("RGB", (side, side), tint).save(out, "JPEG", comment=str(number).encode())
    return out.getvalue()


def pictures(root: Path, numbers: Sequence[int], shard: str = ".") -> Path:
    """A folder of images; the name says the number."""
    folder = root / shard
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:05}.jpg").write_bytes(jpeg(number))
    return root


def folder_source(root: Path, **options: Any) -> FolderSource:
    return FolderSource(SourceOptions(path=str(root), name="pictures", **options))


def settings(*, prompts: Sequence[str] = ("Describe.",), **changes: Any) -> Broadcast:
    """What a job's workers are told."""
    told: dict[str, Any] = {
        "engine": "simulated",
        "stages": (Stage(name="caption", model="", prompts=tuple(prompts)),),
        "batch_size": 8,
        "openai": OpenaiConfig(),
        "simulated": SimulatedConfig(),
        "images": ImagesConfig(),
        "download": DownloadConfig(),
        "max_file_size": 1 << 20,
        "lease_seconds": LEASE,
        "max_attempts": 3,
        "engine_timeout": PATIENCE,
    }
    return Broadcast(**{**told, **changes})


def caption(
    number: int,
    *,
    columns: Mapping[str, Any] | None = None,
    texts: Mapping[str, list[str]] | None = None,
    entry: str = "",
) -> Caption:
    """A finished sample, as a sink reads it."""
    sample = Sample(
        id=f"{number:05}.jpg",
        dataset="pictures",
        shard=".",
        chunk=".:0",
        source=f"/pictures/{number:05}.jpg",
        width=8,
        height=9,
        format="jpeg",
        bytes=100,
        sha256=f"{number:064x}",
        columns=dict(columns or {}),
    )
    return Caption(entry or f"{number + 1}-0", sample, (outcome(texts, number=number),))


def outcome(
    texts: Mapping[str, list[str]] | None = None, *, number: int = 0, stage: str = "caption"
) -> Outcome:
    return Outcome(
        stage=stage,
        outputs=dict(texts or {"captions": [f"caption of {number}"]}),
        engine="simulated",
        model="none",
        prompts="0123",
        prompt_tokens=5,
        output_tokens=7,
        finish_reasons=["stop"],
        settings_version=1,
        attempt=1,
        worker="w",
        contributor="",
        captioned_at=1_700_000_000.25,
    )
