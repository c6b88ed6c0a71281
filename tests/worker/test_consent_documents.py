"""Documents of strangers that would keep a worker busy before anything of them is judged."""

import time
from typing import Any

import msgspec
import pytest

from caption_flow.config.broadcast import Broadcast
from caption_flow.errors import CaptionFlowError
from tests.made import settings

SECONDS = 10.0  # in which each must be refused; the worst took a minute
COUNT = 1500
NAMES = [f"name{n}" for n in range(COUNT)]
DEEP = b"[" * 100_000 + b"]" * 100_000


def document(schema: dict[str, Any]) -> bytes:
    plain = msgspec.json.decode(settings(engine="vllm").encode())
    form = {"json": schema, "choice": None, "regex": None, "grammar": None}
    plain["stages"][0]["structured_outputs"] = form
    return msgspec.json.encode(plain)


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {name: {"$ref": f"#/$defs/x{name}"} for name in NAMES}},
        {
            "properties": {name: {"type": "string"} for name in NAMES},
            "required": [f"{name}x" for name in NAMES],
        },
        {f"a{name}": 1 for name in NAMES} | {"typ": "string"},
    ],
)
def test_a_schema_of_thousands_of_mistakes_is_refused_in_a_moment(schema: dict[str, Any]):
    begun = time.monotonic()

    with pytest.raises(CaptionFlowError) as refused:
        Broadcast.decode(document(schema))

    assert len(str(refused.value).splitlines()) <= 20
    assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize("written", [DEEP, b'{"stages":' + DEEP + b"}"])
def test_a_document_that_nests_without_end_cannot_be_read(written: bytes):
    with pytest.raises(CaptionFlowError, match="settings cannot be read"):
        Broadcast.decode(written)
