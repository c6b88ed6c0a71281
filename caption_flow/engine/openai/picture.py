"""Engine `openai`: an image as it stands in a request, a data URL."""

import asyncio
import sys
from base64 import b64encode
from io import BytesIO

from caption_flow.image import decode, inspect, is_upright, shrink
from caption_flow.image.sniff import sniff

# By all servers; the others become JPEG. llama.cpp takes no WebP, OpenAI no GIF that moves.
_TAKEN = frozenset({"jpeg", "png"})
_LARGE = 1 << 20  # bytes that take so long to encode that the event loop should not wait
_QUALITY = 90
_ANY = sys.maxsize  # pixels; whoever read the image has seen to their number


async def data_url(data: bytes, max_bytes: int) -> str:
    """Write an image as a URL, its bytes as they are where the server takes them."""
    form = sniff(data)
    if len(data) <= min(max_bytes, _LARGE) and _is_taken(form, data):
        return _spelt(form, data)
    return await asyncio.to_thread(_fitted, form, data, max_bytes)


def _fitted(form: str, data: bytes, max_bytes: int) -> str:
    if not _is_taken(form, data):
        form, data = "jpeg", _as_jpeg(data)
    if len(data) > max_bytes:
        facts = inspect(data, max_pixels=_ANY)
        smaller = shrink(data, facts, max_side=None, max_bytes=max_bytes, max_pixels=_ANY)
        form, data = "jpeg", smaller
    return _spelt(form, data)


def _is_taken(form: str, data: bytes) -> bool:
    """Tell whether servers see it as we do: many do not look at EXIF, and see it on its side."""
    return form in _TAKEN and is_upright(data, max_pixels=_ANY)


def _as_jpeg(data: bytes) -> bytes:
    out = BytesIO()
    decode(data, max_pixels=_ANY, max_side=None).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _spelt(form: str, data: bytes) -> str:
    return f"data:image/{form};base64,{b64encode(data).decode()}"
