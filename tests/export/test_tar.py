"""Headers of tars are those that `tarfile` writes."""

import tarfile

import pytest

from caption_flow.export.formats.tar import header


@pytest.mark.parametrize("name", ["a.txt", "b" * 100, "c" * 101, "ü.txt", "d" * 260])
@pytest.mark.parametrize("size", [0, 511, 8**11 - 1, 8**11])
def test_a_header_is_the_one_of_tarfile(name: str, size: int):
    info = tarfile.TarInfo(name)
    info.size = size
    info.uname = info.gname = "caption-flow"

    assert header(name, size) == info.tobuf(tarfile.PAX_FORMAT)
