"""What a client must not do closes its own connection, and what it held is with others at once."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from websockets.exceptions import InvalidStatus

from caption_flow.config.proxy import ProxyConfig
from caption_flow.config.quality import Check
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.model import Picture, Reference
from caption_flow.proxy import session
from caption_flow.wire.closing import Close
from caption_flow.wire.frames import (
    Beat,
    Complete,
    CountsWanted,
    Credit,
    Defer,
    Did,
    Fail,
    Fetch,
    Hello,
    Release,
    Renewal,
    SampleSent,
    Serve,
    Settled,
    Suspect,
    Welcome,
    pack,
)
from tests.made import settings
from tests.proxy.client import RawClient, failure, outcome, record
from tests.proxy.house import ANN, BOB, BRISK, House, house, publish
from tests.roles import Roles, until

NAN = float("nan")
HELLO = Hello("worker", "m1", "host", 1, "test")


BEFORE_HELLO = {
    "a frame before hello": (pack(CountsWanted(1)), Close.DISORDER),
    "a text": ("hello", Close.MALFORMED),
    "nothing": (b"", Close.MALFORMED),
    "noise": (b"\x00\x00\x00\x05\xff\xff\xff\xff\xff", Close.MALFORMED),
    "a head longer than the message": (b"\xff\xff\xff\xff", Close.MALFORMED),
    "an unknown frame": (b"\x00\x00\x00\x03\x92\x63\x01", Close.MALFORMED),
    "a payload": (pack(HELLO) + b"payload", Close.LARGE),
    "a name with a path": (pack(Hello("worker", "../m", "h", 1, "t")), Close.MALFORMED),
    "another role": (pack(Hello("admin", "m1", "h", 1, "t")), Close.FORBIDDEN),
}


@pytest.mark.parametrize("case", BEFORE_HELLO)
async def test_wrong_beginning_closes(home: House, case: str):
    message, code = BEFORE_HELLO[case]
    client = await RawClient.open(home.url, ANN)

    await client.connection.send(message)

    await client.refused(code)


async def test_no_hello_in_time_closes(home: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "HELLO_SECONDS", 0.1)

    await (await RawClient.open(home.url, ANN)).refused(Close.LATE)


async def test_message_over_its_bound_closes(home: House):
    client = await home.worker()
    await client.connection.send(bytes((1 << 20) + 100))

    code, _ = await client.closed()
    assert code == 1009


Act = Callable[[RawClient, SampleSent], Awaitable[Any]]

IN_DISORDER: dict[str, tuple[Act, Close]] = {
    "a second hello": (lambda c, _: c.say(HELLO), Close.FORBIDDEN),
    "an id that is not higher": (lambda c, _: c.say(CountsWanted(0)), Close.DISORDER),
    "a channel that is not open": (lambda c, _: c.say(Credit(5, 1, 1)), Close.DISORDER),
    "renewing on another channel": (
        lambda c, s: c.say(Renewal(100, 5, (s.entry,))),
        Close.DISORDER,
    ),
    "too much credit": (lambda c, _: c.credit(4096), Close.DISORDER),
    "too much credit in bytes": (lambda c, _: c.credit(0, 256 << 20), Close.DISORDER),
    "an entry that was never held": (lambda c, _: c.say(Release(9, 0, ("1-1",))), Close.FORBIDDEN),
    "fetching what was never held": (lambda c, _: c.say(Fetch(9, 0, ("1-1",))), Close.FORBIDDEN),
    "renewing what was never held": (lambda c, _: c.say(Renewal(9, 0, ("1-1",))), Close.FORBIDDEN),
    "an entry twice": (lambda c, s: c.say(Release(9, 0, (s.entry,) * 2)), Close.MALFORMED),
    "a path as an entry": (lambda c, _: c.say(Release(9, 0, ("../1",))), Close.MALFORMED),
    "no outcome": (lambda c, s: c.say(Complete(9, 0, ((s.entry, (b"{}",)),))), Close.MALFORMED),
    "no failure": (lambda c, s: c.say(Fail(9, 0, ((s.entry, b"nonsense"),))), Close.MALFORMED),
    "a reason of many words": (
        lambda c, s: c.say(Fail(9, 0, ((s.entry, failure("two words")),))),
        Close.MALFORMED,
    ),
    "another suspicion": (
        lambda c, s: c.say(Suspect(9, 0, s.entry, failure("engine"))),
        Close.FORBIDDEN,
    ),
    "a figure that is no number": (
        lambda c, _: c.say(Beat("x", {"n": float("nan")})),
        Close.MALFORMED,
    ),
}


@pytest.mark.parametrize("case", IN_DISORDER)
async def test_breach_closes_and_costs_others_nothing(home: House, case: str):
    act, code = IN_DISORDER[case]
    await home.offer(2)
    good, bad = await home.worker(BOB), await home.worker()
    [kept] = await good.take(1)
    [sent] = await bad.take(1)
    await bad.credit(1, 0)

    await act(bad, sent)

    await bad.refused(code)
    [again] = await good.take(1)
    assert (again.entry, again.attempt) == (sent.entry, 1)
    assert await good.complete(home.told, [kept, again]) == (True, True)


async def test_sample_of_another_is_not_settled(home: House):
    await home.offer(1)
    good, bad = await home.worker(BOB), await home.worker()
    [sent] = await good.take(1)

    await bad.say(Complete(9, 0, ((sent.entry, (record(home.told, sent),)),)))

    await bad.refused(Close.FORBIDDEN)
    assert await good.complete(home.told, [sent]) == (True,)


async def test_claiming_to_hold_what_is_anothers_gives_nothing(home: House):
    """Naming it at a resumption is no breach, but it is lost."""
    await home.offer(1)
    good = await home.worker(BOB)
    [sent] = await good.take(1)
    bad = await RawClient.enter(home.url, ANN, resume=good.welcome.ticket)

    assert (await bad.serve(holding=[sent.entry])).lost == (sent.entry,)
    assert await bad.complete(home.told, [sent]) == (False,)
    assert await good.complete(home.told, [sent]) == (True,)


async def test_replay_of_a_settlement_does_nothing(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    assert await client.complete(home.told, [sent]) == (True,)

    assert await client.complete(home.told, [sent]) == (False,)
    assert len(await home.roles.captions()) == 1


LIES = {
    "another stage": {"stage": "other"},
    "another output": {"outputs": {"titles": ["a"]}},
    "a second output": {"outputs": {"captions": ["a"], "more": ["a"]}},
    "no text": {"outputs": {"captions": []}},
    "more texts than prompts": {"outputs": {"captions": ["a", "b"]}},
    "a text too long": {"outputs": {"captions": ["é" * 40_000]}},
    "other prompts": {"prompts": "0" * 16},
    "tokens below zero": {"prompt_tokens": -1},
    "tokens beyond reason": {"output_tokens": 10**9},
    "no tries": {"tries": 0},
    "a field that was not asked for": {"fields": {"mood": "sad"}},
    "a flag of no check": {"flags": ("banned_words",)},
    "a model with a line break": {"model": "a\nb"},
    "an engine of endless name": {"engine": "x" * 1000},
    "more reasons to finish than prompts": {"finish_reasons": ["stop", "stop"]},
    "facts of an image in the queue": {
        "picture": Picture(1, 1, "jpeg", 1, "0" * 64),
    },
}


@pytest.mark.parametrize("case", LIES)
async def test_outcome_that_was_not_asked_for_closes(home: House, case: str):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)

    lie = msgspec.json.encode(outcome(home.told, **{"stage": "caption", **LIES[case]}))
    await client.say(Complete(9, 0, ((sent.entry, (lie,)),)))

    await client.refused(Close.FORBIDDEN)
    assert await home.roles.captions() == []


async def test_outcome_twice_closes(home: House):
    await home.offer(1)
    client = await home.worker()
    [sent] = await client.take(1)
    made = record(home.told, sent)

    await client.say(Complete(9, 0, ((sent.entry, (made, made)),)))

    await client.refused(Close.FORBIDDEN)


async def test_stage_that_the_channel_does_not_serve_closes(staged: House):
    await staged.offer(1)
    client = await RawClient.enter(staged.url, ANN)
    await client.serve(only=["look"])
    [sent] = await client.take(1)
    both = tuple(record(staged.told, sent, stage=name) for name in ("look", "tell"))

    await client.say(Complete(9, 0, ((sent.entry, both),)))

    await client.refused(Close.FORBIDDEN)


SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}, "tags": {"type": "array"}}}


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"age": 3, "tags": ["a"]}, True),
        ({"age": None}, True),
        ({}, True),
        ({"age": "three"}, False),
        ({"age": True}, False),
        ({"age": 2**70}, False),
        ({"name": "x"}, False),
    ],
)
async def test_fields_are_those_of_the_form(connections, tmp_path, fields, right):
    form = StructuredOutputs(json=SCHEMA)
    checks = (Check(check="too_short", words=3),)
    told = settings(stages=(Stage("caption", "", ("C",), structured_outputs=form, quality=checks),))
    roles = Roles(connections, tmp_path, told)
    await publish(roles)
    async with house(connections, roles) as home:
        await home.offer(1)
        client = await home.worker()
        [sent] = await client.take(1)
        made = record(told, sent, fields=fields, flags=("too_short",))
        await client.say(Complete(9, 0, ((sent.entry, (made,)),)))
        if right:
            assert (await client.hear(Settled)).ours == (True,)
        else:
            await client.refused(Close.FORBIDDEN)


@pytest.mark.parametrize(("width", "right"), [(640, True), (0, False), (2**40, False)])
async def test_facts_about_an_image_from_elsewhere_are_sane(home: House, width: int, right: bool):
    await home.roles.offer([Reference("https://example.org/a.jpg")])
    client = await home.worker()
    [sent] = await client.take(1)
    made = record(home.told, sent, picture=Picture(width, 480, "jpeg", 9000, "a" * 64))

    await client.say(Complete(9, 0, ((sent.entry, (made,)),)))

    if right:
        assert (await client.hear(Settled)).ours == (True,)
    else:
        await client.refused(Close.FORBIDDEN)


async def test_texts_may_be_as_long_as_configured(connections, roles: Roles):
    await publish(roles)
    config = ProxyConfig(max_caption_bytes=10, resume_seconds=BRISK.resume_seconds)
    async with house(connections, roles, config=config) as home:
        await home.offer(2)
        client = await home.worker()
        first, second = await client.take(2)
        fits, over = {"captions": ["x" * 10]}, {"captions": ["x" * 11]}
        assert await client.complete(home.told, [first], outputs=fits) == (True,)

        await client.say(
            Complete(9, 0, ((second.entry, (record(home.told, second, outputs=over),)),))
        )

        await client.refused(Close.FORBIDDEN)


async def test_failures_of_a_sample_do_not_grow_without_end(
    home: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("caption_flow.proxy.desks.settle.MOST_NOTED", 300)
    await home.offer(1)
    client = await home.worker()
    for _ in range(6):
        [sent] = await client.take(1)
        long = failure("engine", own=False)
        await client.ask(Defer, 0, ((sent.entry, long, 0.0),), answer=Did)

    [noted] = await home.roles.client.hvals(home.roles.job.lane.failures)
    assert len(noted) < 700


async def test_secrets_are_not_logged(home: House, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        client = await home.worker()
        await client.say(CountsWanted(0))
        await client.closed()
        with pytest.raises(InvalidStatus, match="401"):
            await RawClient.open(home.url, "some other token")
    await until(lambda: "Closing on ann/m1" in caplog.text)

    ours = [r.getMessage() for r in caplog.records if r.name.startswith("caption_flow")]
    assert not any(ANN in line or "some other token" in line for line in ours)
    assert not any(client.welcome.ticket in line for line in ours)


async def test_role_without_a_desk_is_turned_away(home: House):
    client = await RawClient.open(home.url, ANN)
    await client.say(Hello("monitor", "m", "h", 1, "t"))
    await client.refused(Close.FORBIDDEN)


async def test_serving_before_hello_is_disorder(home: House):
    client = await RawClient.open(home.url, ANN)
    await client.say(Serve(1, 0, None))
    await client.refused(Close.DISORDER)
    assert await home.worker()


async def test_welcome_comes_first(home: House):
    client = await RawClient.open(home.url, ANN)
    await client.say(HELLO)
    frame, _ = client._reader.read(await client.connection.recv())
    assert isinstance(frame, Welcome)
