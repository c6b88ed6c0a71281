"""Images that are shown again: other bytes, the same pixels."""

import io

import pytest
from PIL import Image

from caption_flow.bench.fresh import fresh
from caption_flow.image import decode, fit
from caption_flow.image.sniff import TAKEN

LIMITS = {"max_side": None, "max_pixels": 10**6}


@pytest.mark.parametrize("form", TAKEN)
def test_image_has_other_bytes_and_the_same_pixels(form: str):
    written = io.BytesIO()
    Image.effect_noise((32, 24), 50).convert("RGB").save(written, form)
    data = written.getvalue()

    first, second = fresh(data, 1), fresh(data, 2)

    assert len({data, first, second}) == 3
    assert decode(first, **LIMITS).tobytes() == decode(data, **LIMITS).tobytes()
    assert fit(second, max_bytes=1 << 20, **LIMITS)[1].format == form
