"""Engine: an image as vLLM is shown it."""

from typing import Any

from PIL.Image import Image


def shown(image: Image, sha256: str) -> dict[str, Any]:
    """Make what a prompt says of its image: the pixels, and a name where the hash is known."""
    made: dict[str, Any] = {"multi_modal_data": {"image": image}}
    if sha256:
        # With its size, since limits that change shrink the same bytes to other pixels.
        made["multi_modal_uuids"] = {"image": [f"{sha256}-{image.width}x{image.height}"]}
    return made
