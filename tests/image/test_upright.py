"""Whether an image has to be turned before it is shown to who does not look at EXIF."""

import pytest

from caption_flow.image import is_upright
from tests.image.makers import encode, lying


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_only_orientation_one_is_upright(form: str, orientation: int):
    stored, exif = lying(orientation)

    data = encode(stored, form, exif=exif)

    assert is_upright(data, max_pixels=10**6) == (orientation == 1)
