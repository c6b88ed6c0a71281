"""A pool of drawn images, as the vision tower will see them, and what is true of each.

Drawing and encoding cost more than a training step, so the pool is drawn once and kept; each time
an image is used it is moved and mirrored, which changes nothing that its caption says.
"""

import io
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from build import SIDE
from draw import COLOURS, MARGIN, SHAPES, SIZES, Drawing, encode, plan
from msgspec import Struct
from numpy.typing import NDArray
from PIL import Image
from transformers import Idefics3ImageProcessorPil

ATTRIBUTES = (tuple(SIZES), tuple(COLOURS), SHAPES, tuple(COLOURS))
RING = 1  # pixels of ringing that resizing leaves around a shape, kept inside the picture


class Pool(Struct, frozen=True):
    """Images and their truth, row by row."""

    images: NDArray[np.uint8]  # number, channel, row, column
    labels: NDArray[np.int64]  # number, attribute: indices into ATTRIBUTES
    slack: NDArray[np.int64]  # number, (left, right, up, down): pixels the shape can move

    def __len__(self) -> int:
        return len(self.images)


def drawn_pool(count: int, seed: int, cache: Path, *, processes: int = 2) -> Pool:
    """Draw a pool, or read the one drawn before."""
    stored = cache / f"pool-{seed}-{count}-{SIDE}.npz"
    if not stored.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(processes) as workers:
            rows = list(workers.map(partial(_row, seed), range(count), chunksize=256))
        images, labels, slack = (np.stack(column) for column in zip(*rows, strict=True))
        np.savez(stored, images=images, labels=labels, slack=slack)
    with np.load(stored) as arrays:
        return Pool(images=arrays["images"], labels=arrays["labels"], slack=arrays["slack"])


def check_against_processor(processor: Idefics3ImageProcessorPil, seed: int, count: int) -> None:
    """Stop unless our short cut gives the very pixels that the processor gives."""
    for number in range(count):
        image = Image.open(io.BytesIO(encode(plan(seed, number, side=None))))
        theirs = processor(image, return_tensors="np")["pixel_values"][0, 0]
        ours = to_pixels(torch.from_numpy(_seen(image)))
        if not np.allclose(theirs, ours.numpy(), atol=1e-5):
            raise ValueError(f"Image {number} of seed {seed} is not as the processor sees it.")


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Bytes to the range -1 to 1, as the processor's rescaling and normalising do."""
    return images.float() / 127.5 - 1


def batch(pool: Pool, size: int, dice: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick images at random, move and mirror each; return pixels and labels."""
    picked = dice.integers(len(pool), size=size)
    left, right, up, down = pool.slack[picked].T
    columns = _moved(dice.integers(-left, right + 1))
    rows = _moved(dice.integers(-up, down + 1))
    mirrored = dice.random(size) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    images = pool.images[
        picked[:, None, None, None],
        np.arange(3)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    return to_pixels(torch.from_numpy(images)), torch.from_numpy(pool.labels[picked])


def _moved(shift: NDArray[np.int64]) -> NDArray[np.int64]:
    # The ground is one colour, so what wraps around the edge is the ground that was there.
    return (np.arange(SIDE)[None, :] - shift[:, None]) % SIDE


def _row(seed: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    drawing = plan(seed, number, side=None)
    return _seen(Image.open(io.BytesIO(encode(drawing)))), _labels(drawing), _slack(drawing)


def _seen(image: Image.Image) -> NDArray[np.uint8]:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.array(small).transpose(2, 0, 1)


def _labels(drawing: Drawing) -> NDArray[np.int64]:
    words = (drawing.size, drawing.colour, drawing.shape, drawing.background)
    return np.array([names.index(word) for names, word in zip(ATTRIBUTES, words, strict=True)])


def _slack(drawing: Drawing) -> NDArray[np.int64]:
    across, down = drawing.centre
    reach = drawing.radius + MARGIN
    room = np.array([across - reach, 1 - across - reach, down - reach, 1 - down - reach])
    return np.maximum(np.floor(room * SIDE).astype(np.int64) - RING, 0)
