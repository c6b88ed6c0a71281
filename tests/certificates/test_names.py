"""Names are spelled as certificates spell them, and what is none is refused."""

import pytest

from caption_flow.certificates.names import all_of, checked, unpublic
from caption_flow.errors import ConfigError

SPELLED = {
    "localhost": "localhost",
    "Project.Example.ORG": "project.example.org",
    "project.example.org.": "project.example.org",
    " project.example.org ": "project.example.org",
    "*.example.org": "*.example.org",
    "münchen.example.org": "xn--mnchen-3ya.example.org",
    "*.bücher.example.org": "*.xn--bcher-kva.example.org",
    "proxy_1": "proxy_1",
    "192.0.2.7": "192.0.2.7",
    "::1": "::1",
    "[2001:DB8:0::7]": "2001:db8::7",
    "a" * 63 + ".org": "a" * 63 + ".org",
}

NONE = [
    *("", " ", ".", "..", "a..b", ".a", "-a.org", "a-.org", "a b.org", "a/b", "../../etc/passwd"),
    *("..", "*", "*.", "*.org", "a.*.org", "*a.org", "**.org", "https://example.org", "host:8765"),
    *("192.0.2.7/24", "192.0.2.256", "1.2.3", "0x7f.1.0x1", "fe80::1%eth0", "a\0b", "a\nb.org"),
    *("a" * 64 + ".org", ".".join(["a" * 60] * 5), "--force", "someone@example.org", "\udcff.org"),
]


@pytest.mark.parametrize("text", SPELLED)
def test_name_is_spelled_one_way(text: str):
    assert checked(text) == SPELLED[text]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_name_is_refused(text: str):
    with pytest.raises(ConfigError) as caught:
        checked(text)

    assert str(caught.value).isprintable()


def test_localhost_stands_for_its_addresses_too():
    assert all_of(("localhost", "lab", "LAB", "::1")) == ("localhost", "127.0.0.1", "::1", "lab")


@pytest.mark.parametrize("name", ["example.org", "a.b.example.org", "xn--mnchen-3ya.example.org"])
def test_public_name_may_be_signed(name: str):
    assert unpublic(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "lab", "a.localhost", "printer.local", "x.internal", "x.home.arpa"),
        *("192.0.2.7", "2001:db8::7", "*.example.org", "my_proxy.example.org"),
    ],
)
def test_other_name_may_not(name: str):
    assert unpublic(name) != ""
