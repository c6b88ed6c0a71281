"""Where an image is fetched from: references are strangers' words, and the token is ours."""

import pytest

from caption_flow.fetch import FetchFailed
from caption_flow.model import Reference
from caption_flow.worker.locate import Hub

HUB = Hub("https://hub.example", "hush")


def test_a_url_is_taken_as_it_is():
    url = "http://images.example/a.jpg?size=7"

    assert HUB.locate(Reference(url)) == url


@pytest.mark.parametrize(
    "path",
    [
        "datasets/user/repo/resolve/main/train/0.tar",
        "datasets/repo/resolve/abc123/a%20b.parquet",
        "user/repo/resolve/refs%2Fconvert%2Fparquet/x/0.parquet",
    ],
)
def test_a_path_on_the_hub_is_below_our_own_endpoint(path: str):
    assert HUB.locate(Reference(path, hub=True)) == f"https://hub.example/{path}"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/datasets/u/r/resolve/main/x",
        "//evil.example/resolve/x",
        "https://evil.example/resolve/x",
        "datasets/u/r/resolve/../../../api/x",
        "datasets/u/r/resolve/%2e%2e/%2E%2E/x",
        "datasets/u/r/resolve/%252e%252e/x",
        "datasets/u/r/resolve//x",
        "datasets/u/r/resolve/a%2F%2Fx",
        "datasets/u/r/resolve/x?download=true",
        "datasets/u/r/resolve/x#y",
        "datasets/u/r/resolve/..%5Cx",
        "datasets/u/r/resolve/a b",
        "datasets/u/r/resolve/x\r\nHost: evil.example",
        "api/whoami-v2",
        "datasets/u/r/resolve/" + "x" * 5000,
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str):
    with pytest.raises(FetchFailed) as refused:
        HUB.locate(Reference(path, hub=True))

    assert (refused.value.reason, refused.value.transient) == ("bad_url", False)


@pytest.mark.parametrize("url", ["https://hub.example/a", "https://hub.example:443/datasets/b"])
def test_the_token_goes_to_the_hub(url: str):
    assert HUB.headers(url) == {"Authorization": "Bearer hush"}


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example/a",
        "https://hub.example:444/a",
        "https://hub.example.evil.example/a",
        "https://cdn.hub.example/a",
        "https://evil.example/hub.example",
    ],
)
def test_the_token_goes_nowhere_else(url: str):
    assert HUB.headers(url) == {}


def test_only_a_hub_that_was_named_may_be_anywhere():
    assert Hub.of({"HF_ENDPOINT": "http://mirror.local:8080/hub"}).trusted == (
        ("mirror.local", 8080),
    )
    assert Hub.of({"HF_ENDPOINT": "https://mirror.local"}).trusted == (("mirror.local", 443),)
    assert Hub.of({}).trusted == ()


@pytest.mark.parametrize(
    ("environ", "hub"),
    [
        ({}, Hub("https://huggingface.co", "")),
        ({"HF_TOKEN": "a", "HUGGINGFACE_HUB_TOKEN": "b"}, Hub(token="a")),
        ({"HF_TOKEN": "", "HUGGINGFACE_HUB_TOKEN": " b\n"}, Hub(token="b")),
        ({"HF_ENDPOINT": "https://mirror.example/hub/"}, Hub("https://mirror.example/hub")),
        ({"HF_ENDPOINT": ""}, Hub()),
    ],
)
def test_hub_and_token_are_those_of_our_own_environment(environ: dict[str, str], hub: Hub):
    assert Hub.of(environ) == hub


def test_a_job_of_others_is_shown_no_token_and_led_into_no_network_of_ours():
    environ = {"HF_ENDPOINT": "http://mirror.local:8080", "HF_TOKEN": "hush"}

    hub = Hub.of(environ, of_others=True)

    assert hub.trusted == ()
    assert hub.headers("http://mirror.local:8080/a") == {}
