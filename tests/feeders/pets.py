"""A small data set of pictures, as the library `datasets` makes, saves and reads it."""

import hashlib
import io
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from caption_flow.dataset.source import SourceOptions
from caption_flow.model import Raw
from feeders.huggingface import HuggingFaceSource

FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "tags": datasets.Sequence(datasets.ClassLabel(names=["small", "old"])),
        "score": datasets.Value("float32"),
        "note": datasets.Value("string"),
    }
)


def png(number: int) -> bytes:
    """A picture like no other."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(out, "PNG")
    return out.getvalue()


def pets(count: int, first: int = 0) -> datasets.Dataset:
    """So many pets."""
    numbers = range(first, first + count)
    rows = {
        "image": [{"bytes": png(n), "path": f"{n}.png"} for n in numbers],
        "label": [n % 2 for n in numbers],
        "tags": [[n % 2, 1][: n % 3] for n in numbers],
        "score": [n / 2 for n in numbers],
        "note": [f"pet {n}" if n % 5 else None for n in numbers],
    }
    return datasets.Dataset.from_dict(rows, features=FEATURES)


def picture_files(root: Path, *paths: str) -> Path:
    """Pictures in files, each another."""
    for number, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    return root


def source(path: Any, **options: Any) -> HuggingFaceSource:
    """A data set as a source."""
    return HuggingFaceSource(SourceOptions(path=str(path), **options))


def samples(made: HuggingFaceSource) -> list[Raw]:
    """All samples, in the order in which they are planned and read."""
    return [
        raw
        for shard in made.shards()
        for raw in made.samples(shard, list(made.names(shard, None)), made.fingerprint(shard))
    ]


def shown(made: HuggingFaceSource) -> list[tuple[str, dict[str, Any]]]:
    """What the source gives of each sample: the image's hash and the columns."""
    raws = samples(made)
    assert [raw.error for raw in raws] == [""] * len(raws)
    return [(sha(raw.image), raw.columns) for raw in raws]


def told(expected: datasets.Dataset, image: str = "image") -> list[tuple[str, dict[str, Any]]]:
    """What `datasets` gives of each row, spelled alike."""
    plain = expected.cast_column(image, datasets.Image(decode=False))
    return [
        (
            sha(_bytes(row.pop(image))),
            {name: _worded(row[name], expected.features[name]) for name in row},
        )
        for row in plain
    ]


def sha(data: bytes) -> str:
    """The hash of an image."""
    return hashlib.sha256(data).hexdigest()


def _bytes(cell: dict[str, Any]) -> bytes:
    return cell["bytes"] or Path(cell["path"]).read_bytes()


def _worded(value: Any, feature: Any) -> Any:
    if isinstance(feature, datasets.ClassLabel):
        return feature.int2str(value)
    inner = getattr(feature, "feature", None)
    return [_worded(one, inner) for one in value] if inner is not None else value
