"""No URL, redirect or name leads to an address that is not public, unless it is allowed."""

import socket

import pytest

from caption_flow.errors import ConfigError
from caption_flow.fetch import Client, FetchFailed, Resolver
from caption_flow.fetch.addresses import Guard, plain
from caption_flow.fetch.resolver import CONTROL
from tests.fetch.conftest import FORBIDDEN, LOCAL, Open, limits
from tests.fetch.naughty import NaughtyServer, redirect, status

REFUSED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:0:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:c0a8:101::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "4000::1",
]
ADMITTED = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.0.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2606:4700::1111",
    "2a00:1450::1",
    "2001:4860:4860::8888",
]


@pytest.mark.parametrize("address", REFUSED)
def test_address_that_is_not_public_is_refused(address: str):
    assert not Guard().admits(plain(address))


@pytest.mark.parametrize("address", ADMITTED)
def test_public_address_is_admitted(address: str):
    assert Guard().admits(plain(address))


@pytest.mark.parametrize("network", ["10.1.0.0/16", "10.1.2.3", " 10.1.2.3 ", "10.0.0.0/8"])
def test_allowed_network_is_admitted_and_no_other(network: str):
    guard = Guard(["fd00::/8", network])

    assert guard.admits(plain("10.1.2.3"))
    assert guard.admits(plain("::ffff:10.1.2.3"))
    assert guard.admits(plain("fd00::1"))
    assert not guard.admits(plain("192.168.0.1"))
    assert not guard.admits(plain("fe80::1"))


@pytest.mark.parametrize("wrong", ["intranet", "10.1.2.3/16", "10.1.0.0/33", "", "10.1"])
def test_network_that_is_none_is_a_mistake_of_configuration(wrong: str):
    with pytest.raises(ConfigError, match=rf'allow_networks: "{wrong}" is no network'):
        Client(allow_networks=[wrong])


async def refusal(client: Client, url: str) -> str:
    with pytest.raises(FetchFailed) as told:
        await client.get(url, max_bytes=1000)
    assert not told.value.transient
    return told.value.reason


@pytest.mark.parametrize(
    "spelling",
    [
        "127.0.0.2",
        "2130706434",
        "0x7f000002",
        "0177.0.0.2",
        "127.2",
        "0x7f.2",
        "[::ffff:7f00:2]",
        "①②⑦.0.0.2",
        "127.0.0.2.",
    ],
)
async def test_no_spelling_of_an_address_gets_through(inner: NaughtyServer, spelling: str):
    async with Client(limits(), (LOCAL,)) as client:  # the resolver of the system reads them
        assert await refusal(client, inner.url("/secret", spelling)) == "forbidden_address"
    assert inner.connections == 0


async def test_localhost_is_refused_without_being_allowed(server: NaughtyServer):
    async with Client(limits()) as client:
        assert await refusal(client, server.url("/a", "localhost")) == "forbidden_address"
    assert server.connections == 0


async def test_redirect_to_a_forbidden_address_is_refused(
    client: Client, server: NaughtyServer, inner: NaughtyServer
):
    url = server.on("/a", redirect(inner.url("/secret")))

    assert await refusal(client, url) == "forbidden_address"
    assert inner.connections == 0


async def test_redirect_to_a_name_of_a_forbidden_address_is_refused(
    open_client: Open, server: NaughtyServer, inner: NaughtyServer
):
    client = open_client({"good.test": [LOCAL], "evil.test": [FORBIDDEN]})
    server.on("/a", redirect(inner.url("/secret", "evil.test")))

    assert await refusal(client, server.url("/a", "good.test")) == "forbidden_address"
    assert inner.connections == 0


async def test_of_a_name_with_addresses_of_both_kinds_only_the_admitted_are_used(
    open_client: Open, inner: NaughtyServer
):
    """Nobody listens at the admitted one, and still the other is not tried."""
    client = open_client({"both.test": [FORBIDDEN, LOCAL, f"::ffff:{FORBIDDEN}"]})

    with pytest.raises(FetchFailed, match="unreachable"):
        await client.get(inner.url("/secret", "both.test"), max_bytes=1000)
    assert inner.connections == 0


async def test_name_whose_address_changes_is_checked_anew(
    server: NaughtyServer, inner: NaughtyServer
):
    answers = [[LOCAL], [FORBIDDEN]]
    server.on("/a", status(200, "Connection: close", body=b"fine"))
    resolver = Resolver(lambda _: answers.pop(0) if len(answers) > 1 else answers[0], seconds=0)

    async with Client(limits(), (LOCAL,), resolver=resolver) as client:
        first = await client.get(server.url("/a", "turns.test"), max_bytes=1000)
        second = await refusal(client, inner.url("/secret", "turns.test"))

    assert (first.body, second) == (b"fine", "forbidden_address")
    assert inner.connections == 0


async def test_next_address_is_tried_where_one_does_not_answer(server: NaughtyServer):
    """The server listens on one address only; the other has the same port closed."""
    server.serve("/a", b"fine")

    async with Client(
        limits(), (LOCAL, "::1"), resolver=Resolver(lambda _: ["::1", LOCAL])
    ) as client:
        fetched = await client.get(server.url("/a", "two.test"), max_bytes=1000)

    assert fetched.body == b"fine"


async def test_name_is_asked_for_once_in_a_while(server: NaughtyServer):
    asked: list[str] = []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        return [LOCAL]

    server.on("/a", status(200, "Connection: close", body=b"fine"))
    async with Client(limits(), (LOCAL,), resolver=Resolver(lookup)) as client:
        for _ in range(3):
            await client.get(server.url("/a", "x.test"), max_bytes=1000)

    assert asked == ["x.test"]


async def test_unknown_name_is_unreachable_at_once_and_remembered():
    asked: list[str] = []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        if name == CONTROL:
            return ["192.0.2.1"]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with Client(limits(), resolver=Resolver(lookup)) as client:
        for _ in range(3):
            with pytest.raises(FetchFailed, match=r"unreachable.*gone\.test cannot be resolved"):
                await client.get("http://gone.test/a", max_bytes=1000)

    assert asked == ["gone.test", CONTROL]


async def test_name_server_with_a_hiccup_is_asked_again(server: NaughtyServer):
    answers: list[OSError | list[str]] = [socket.gaierror(socket.EAI_AGAIN, "later"), [LOCAL]]

    def lookup(_: str) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    server.serve("/a", b"fine")
    async with Client(limits(), (LOCAL,), resolver=Resolver(lookup, seconds=0)) as client:
        fetched = await client.get(server.url("/a", "x.test"), max_bytes=1000)

    assert fetched.body == b"fine"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.jpg",
        "//host/a",
        "ftp://host.test/a",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "http://",
        "http:///a",
        "http://user@host.test/a",
        "http://user:secret@host.test/a",
        "http://host.test:0/a",
        "http://host.test:99999/a",
        "http://host.test:x/a",
        "http://ho st.test/a",
        "http://host.test\\@127.0.0.1/",
        "http://host.test/a\nX: y",
        "http://host.test/\x00",
        "http://[fe80::1%25eth0]/a",
        "http://[::1/a",
        "http://[v1.x]/a",
        "http://-.." + "a" * 300 + "/a",
        "http://host.test/" + "a" * 9000,
        "http://\ud800/a",
    ],
)
async def test_bad_url_is_refused(client: Client, url: str):
    assert await refusal(client, url) == "bad_url"


async def test_a_host_and_port_that_are_trusted_may_be_anywhere(
    inner: NaughtyServer, server: NaughtyServer
):
    port = int(inner.url("/").rpartition(":")[2].strip("/"))
    away = inner.on("/away", redirect(server.url("/x")))
    server.serve("/x", b"secret")
    async with Client(limits(), trusted=[(FORBIDDEN, port)]) as client:
        assert (await client.get(inner.url("/secret"), max_bytes=99)).body == b"secret"
        with pytest.raises(FetchFailed, match="not on the public internet"):
            await client.get(away, max_bytes=99)
    assert not server.seen
