"""Captions that are meant to break who reads them later: they are refused, or written as they are.

What a caption says is not judged, but no text of it stops a sink or what the next stage reads.
"""

import msgspec
import pytest

from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.proxy.desks.judge import MOST_DEPTH
from caption_flow.queue.connect import Connections
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import Complete, Fail, Settled
from tests.made import settings
from tests.proxy.client import RawClient, outcome
from tests.proxy.house import House, house, publish
from tests.roles import Roles, ends

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "yes": {"type": "boolean"},
        "words": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "number"}},
        "any": {},
    },
}
STAGE = Stage("caption", "", ("C",), structured_outputs=StructuredOutputs(json=SCHEMA))

TEXTS = (
    "a\0b",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe\u2066",
    "'); DROP TABLE captions; --",
    "| a | table |\n|---|---|\n<script>alert(1)</script>",
    "{caption} {0} %s ${HOME} `id`",
    "../../../../etc/passwd",
    "\ufffe\uffff\U0010ffff",
    "e\u0301" * 5000,
    " ",
    "",
    "=cmd|' /C calc'!A0",
)
FIELDS = (
    '{"text": "a\\u0000b", "words": ["\\u0000", null, ""]}',
    '{"share": 1e308, "numbers": [1, 2.5, -0.0, null, 9007199254740993]}',
    '{"share": 123456789012345678901234567890}',
    '{"numbers": [1' + "0" * 400 + "]}",
    '{"count": 9223372036854775807}',
    '{"count": -9223372036854775808}',
    '{"any": {"": {"a.b": [[[]]], "\\u202e": 1e-320}}}',
    '{"any": 1' + "0" * 1000 + "}",
    '{"any": {"a": 1, "a": 2}}',
    '{"any": ' + "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1) + "}",
    '{"words": [], "numbers": []}',
    '{"text": null, "any": null}',
)
REFUSED = (
    ("1e999", '{"share": 1e999}'),
    ("NaN", '{"share": NaN}'),
    ("a lone surrogate", '{"text": "\\ud800"}'),
    ("a lone surrogate as a name", '{"any": {"\\udfff": 1}}'),
    ("2**63", '{"count": 9223372036854775808}'),
    ("a number as a text", '{"text": 1}'),
    ("a list in a list", '{"words": [["a"]]}'),
    ("true as a number", '{"numbers": [true]}'),
    ("a number of many digits", '{"any": 1' + "0" * 5000 + "}"),
    ("depth beyond the bound", '{"any": ' + "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1) + "}"),
    ("depth of 800", '{"any": ' + "[" * 800 + "]" * 800 + "}"),
    ("depth of 100,000", '{"any": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    ("a depth of mappings", '{"any": ' + '{"a":' * 500 + "1" + "}" * 500 + "}"),
    ("no mapping", "[1]"),
    ("bytes that are no UTF-8", '{"text": "\udcff"}'),
)


@pytest.fixture
async def form(connections: Connections, tmp_path):
    """A job whose stage asks for fields of all kinds."""
    roles = Roles(connections, tmp_path, settings(stages=(STAGE,)))
    await publish(roles)
    async with house(connections, roles) as home:
        yield home


def saying(home: House, fields: str = "{}", text: str = "a") -> bytes:
    made = msgspec.json.encode(outcome(home.told, "caption", outputs={"captions": [text]}))
    return made.replace(b'"fields":{}', b'"fields":' + fields.encode(errors="surrogateescape"))


async def hand_in(client: RawClient, made: list[bytes]) -> tuple[bool, ...]:
    sent = await client.take(len(made))
    done = tuple((one.entry, (record,)) for one, record in zip(sent, made, strict=True))
    return (await client.ask(Complete, 0, done, answer=Settled)).ours


async def test_any_text_and_any_fields_that_are_taken_are_written(form: House):
    made = [saying(form, text=text) for text in TEXTS]
    made += [saying(form, fields) for fields in FIELDS]
    await form.offer(len(made))

    assert all(await hand_in(await form.worker(), made))

    await ends(form.roles.sink(exit_when_done=True).run())
    rows = form.roles.rows()
    assert len(rows) == len(made)
    assert sorted(row["captions"][0] for row in rows) == sorted([*TEXTS, *["a"] * len(FIELDS)])


@pytest.mark.parametrize(("fields"), [pair[1] for pair in REFUSED], ids=[p[0] for p in REFUSED])
async def test_fields_that_could_break_a_sink_are_refused(form: House, fields: str):
    await form.offer(1)
    client = await form.worker()
    [sent] = await client.take(1)

    await client.say(Complete(9, 0, ((sent.entry, (saying(form, fields),)),)))

    assert (await client.closed())[0] in {Close.MALFORMED, Close.FORBIDDEN}
    assert await form.roles.captions() == []


NUMBERS = ("-1", "9223372036854775808", "1e308", "1.5", "NaN", '"7"', "null", "true")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", ["prompt_tokens", "output_tokens", "tries"])
async def test_absurd_numbers_are_refused(form: House, name: str, number: str):
    await form.offer(1)
    client = await form.worker()
    [sent] = await client.take(1)
    right = {"prompt_tokens": "5", "output_tokens": "7", "tries": "1"}[name]
    made = saying(form).replace(f'"{name}":{right}'.encode(), f'"{name}":{number}'.encode())

    await client.say(Complete(9, 0, ((sent.entry, (made,)),)))

    assert (await client.closed())[0] in {Close.MALFORMED, Close.FORBIDDEN}


async def test_reasons_of_failures_cannot_steer_a_terminal(form: House):
    await form.offer(1)
    client = await form.worker()
    [sent] = await client.take(1)
    said = "\x1b[2J\x07\r\n\u202e| # <script>\0" + "x" * 5000
    why = msgspec.json.encode({"reason": "engine", "detail": said})

    await client.ask(Fail, 0, ((sent.entry, why),), answer=Settled)

    [dead] = (await form.roles.dead()).values()
    assert dead.failure.detail.isprintable()
    assert len(dead.failure.detail) < 1100
