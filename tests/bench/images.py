"""Bench: a folder of JPEGs of a stated size, made once and kept."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

_KINDS = 32  # different pictures; each file differs from all others in its last bytes
_PER_FOLDER = 5000
_SIDE = 640


def jpeg_folder(root: Path, count: int, size: int) -> Path:
    """Give a folder of `count` JPEGs of about `size` bytes, made unless it is there."""
    folder = root / f"jpeg-{count}-{size}"
    done = folder.with_suffix(".done")
    if not done.exists():
        pictures = [picture(size, seed) for seed in range(_KINDS)]
        for number in range(count):
            path = folder / f"{number // _PER_FOLDER:03}" / f"{number:07}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Bytes after the end of a JPEG are ignored, and make each file its own.
            path.write_bytes(pictures[number % _KINDS] + number.to_bytes(8, "big"))
        done.touch()
    return folder


def picture(size: int, seed: int) -> bytes:
    """Draw a JPEG of about `size` bytes: smooth colours under noise, as photographs are."""
    chance = np.random.default_rng(seed)
    smooth = Image.fromarray(chance.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    pixels = np.asarray(smooth.resize((_SIDE, _SIDE * 3 // 4), Image.Resampling.BICUBIC))
    low, high, best = 0.0, 60.0, b""
    while high - low > 0.5:  # more noise, more bytes
        noise = (low + high) / 2
        noisy = np.clip(pixels + chance.normal(0, noise, pixels.shape), 0, 255)
        file = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(file, "JPEG", quality=80)
        best = file.getvalue()
        low, high = (noise, high) if len(best) < size else (low, noise)
    return best


def digest_of(path: Path) -> str:
    """Hash a file as the pipeline does."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
