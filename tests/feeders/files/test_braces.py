"""Braces stand for what they stand for in a shell."""

import pytest

from caption_flow.errors import ConfigError
from feeders.files.braces import expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{000..002}.tar", ["000.tar", "001.tar", "002.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{a..c}", ["a", "b", "c"]),
        ("x{a,b}y", ["xay", "xby"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("{a,b{1,2}}", ["a", "b1", "b2"]),
        ("{train,val}/{0..1}.tar", ["train/0.tar", "train/1.tar", "val/0.tar", "val/1.tar"]),
        ("{x}", ["{x}"]),
        ("{x{1,2}}", ["{x1}", "{x2}"]),
        ("a{b", ["a{b"]),
        ("a}b", ["a}b"]),
        ("{,x}", ["", "x"]),
    ],
)
def test_braces_expand_as_in_a_shell(text: str, expected: list[str]):
    assert expand(text) == expected


def test_braces_that_stand_for_too_much_are_refused():
    with pytest.raises(ConfigError, match="more than 1,000,000 files"):
        expand("{0..999999999999}.tar")
