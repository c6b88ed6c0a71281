"""Proxy: what a client says of a sample is what its stage asked for, or is refused. No I/O.

What it says is JSON of a stranger. It comes out as records of ours, with those things written over
that are not for the client to say.
"""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from caption_flow.config.vllm import Stage
from caption_flow.model import WORKER_DIED, Failure, Outcome, Outcomes, Picture, following
from caption_flow.proxy.view import Known
from caption_flow.queue.relay import Holding
from caption_flow.wire.closing import Breach, Close

T = TypeVar("T")

MOST_TOKENS = 10_000_000  # of one sample in a stage: rows add them up in 32 bits
MOST_TRIES = 100_000
MOST_WORD = 500  # characters of the name of an engine, a model, a reason to finish
MOST_DETAIL = 1000  # characters of a failure, beyond which it is cut
MOST_DEPTH = 64  # of a value: what is deeper, others may not be able to read
MOST_SIDE = 1 << 20  # pixels
MOST_IMAGE = 1 << 32  # bytes

REASON = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_FORMAT = re.compile(r"[a-z0-9]{1,20}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_INT64 = range(-(2**63), 2**63)

_outcome = msgspec.json.Decoder(Outcome)
_failure = msgspec.json.Decoder(Failure)


class Client(Struct, frozen=True):
    """Who says it, and what binds them."""

    contributor: str
    worker: str  # as in rows
    stages: Collection[str]  # that its channel serves, or did
    most_text: int  # bytes


def read(records: Sequence[bytes]) -> Outcomes:
    """Read what stages made of a sample on one visit; raises Breach."""
    made: Outcomes = tuple(_read(_outcome, record, "An outcome") for record in records)
    if len({outcome.settings_version for outcome in made}) > 1:
        raise Breach(Close.FORBIDDEN, "The outcomes of a visit are of several settings.")
    return made


def outcomes(made: Outcomes, holding: Holding, known: Sequence[Known], client: Client) -> Outcomes:
    """Judge what stages made of a sample, by settings of their version; raises Breach.

    There are several of one version after a flush; what any of them asked for is right.
    """
    objections = [_objection(made, holding, each, client) for each in known]
    if all(objections):
        raise Breach(Close.FORBIDDEN, objections[0])
    now = time.time()
    return tuple(
        replace(
            one,
            contributor=client.contributor,
            worker=client.worker,
            attempt=holding.attempt,
            captioned_at=now,
        )
        for one in made
    )


def failure(record: bytes, holding: Holding, client: Client) -> Failure:
    """Judge why a sample failed; raises Breach."""
    told = _read(_failure, record, "A failure")
    if not REASON.fullmatch(told.reason):
        raise Breach(Close.MALFORMED, "The reason of a failure is not one word.")
    return replace(
        told,
        detail=shown(told.detail),
        at=time.time(),
        stage=holding.stage,
        attempt=holding.attempt,
        member=client.worker,
        contributor=client.contributor,
    )


def suspicion(record: bytes, holding: Holding, client: Client) -> Failure:
    """Judge what is noted in advance of a sample that is tried alone; raises Breach."""
    told = failure(record, holding, client)
    if told.reason != WORKER_DIED or not told.own:
        raise Breach(Close.FORBIDDEN, "Only the death of a worker is noted in advance.")
    return told


def _read(decoder: msgspec.json.Decoder[T], record: bytes, what: str) -> T:
    try:
        return decoder.decode(record)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise Breach(Close.MALFORMED, f"{what} cannot be read: {exc}") from exc


def _objection(made: Sequence[Outcome], holding: Holding, known: Known, client: Client) -> str:
    """Say what was not asked for; empty where all was."""
    passed = set(holding.passed)
    for outcome in made:
        if outcome.stage != following(known.order, passed) or outcome.stage not in client.stages:
            return f"The stage {_quoted(outcome.stage)} was not asked for."
        passed.add(outcome.stage)
        stage = known.stages[outcome.stage]
        if outcome.prompts != known.prompts[stage.name]:
            return f"Other prompts than those of the stage {_quoted(stage.name)} were used."
        for wrong in _wrong(outcome, stage, holding, client):
            return f"The outcome of the stage {_quoted(stage.name)} has {wrong}."
    return ""


def _wrong(outcome: Outcome, stage: Stage, holding: Holding, client: Client) -> Iterator[str]:
    yield from _wrong_texts(outcome, stage, client.most_text)
    yield from _wrong_fields(outcome, stage)
    yield from _wrong_numbers(outcome)
    words = (outcome.engine, outcome.model, *outcome.finish_reasons)
    if not all(len(word) <= MOST_WORD and word.isprintable() for word in words):
        yield "a word that cannot be shown, or is too long"
    flags = {check.check for check in stage.quality}
    if len(outcome.flags) != len(set(outcome.flags)) or not flags.issuperset(outcome.flags):
        yield "a flag of no check of its stage"
    if outcome.picture is not UNSET:
        if not holding.elsewhere:
            yield "facts about an image that lay in the queue"
        elif not _is_sane(outcome.picture):
            yield "facts that hold for no image"


def _wrong_texts(outcome: Outcome, stage: Stage, most: int) -> Iterator[str]:
    if list(outcome.outputs) != [stage.output_field]:
        yield "another output"
        return
    texts = outcome.outputs[stage.output_field]
    if not 0 < len(texts) <= len(stage.prompts) or len(outcome.finish_reasons) > len(stage.prompts):
        yield "another number of texts than prompts"
    # No character takes less than a byte, so that most texts need not be measured.
    if any(len(text) > most or len(text.encode()) > most for text in texts):
        yield f"a text of over {most:,} bytes"
    form = stage.structured_outputs
    if form and form.choice is not None and not set(texts) <= set(form.choice):
        yield "a text that is none of its choices"


def _wrong_fields(outcome: Outcome, stage: Stage) -> Iterator[str]:
    form = stage.structured_outputs
    kinds = form.fields if form else {}
    for name, value in outcome.fields.items():
        if name not in kinds:
            yield "a field that it was not asked for"
        elif value is not None and not _fits(value, kinds[name]):
            yield f"a field of another kind than {kinds[name]}"
        elif not _is_shallow(value):
            yield "a field that is too deep"


def _is_shallow(value: Any, most: int = MOST_DEPTH) -> bool:
    within: Collection[Any] = ()
    if isinstance(value, dict):
        within = value.values()
    elif isinstance(value, list):
        within = value
    return most > 0 and all(_is_shallow(one, most - 1) for one in within)


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("list<"):
        inner = kind.removeprefix("list<").removesuffix(">")
        items = value if isinstance(value, list) else [()]
        return all(item is None or _fits(item, inner) for item in items)
    match kind:
        case "string":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int64":
            return type(value) is int and value in _INT64
        case "double":
            return type(value) in {int, float}
    return not isinstance(value, tuple)


def _wrong_numbers(outcome: Outcome) -> Iterator[str]:
    if not all(0 <= n <= MOST_TOKENS for n in (outcome.prompt_tokens, outcome.output_tokens)):
        yield "a number of tokens that cannot be"
    if not 0 < outcome.tries <= MOST_TRIES:
        yield "a number of tries that cannot be"


def _is_sane(picture: Picture) -> bool:
    return (
        0 < picture.width <= MOST_SIDE
        and 0 < picture.height <= MOST_SIDE
        and 0 < picture.bytes <= MOST_IMAGE
        and bool(_FORMAT.fullmatch(picture.format))
        and bool(_DIGEST.fullmatch(picture.sha256))
        and (not picture.read or bool(_DIGEST.fullmatch(picture.read)))
    )


def shown(detail: str) -> str:
    """Make a text of a stranger fit to be shown, and not too long."""
    cut = "…" if len(detail) > MOST_DETAIL else ""
    return "".join(c if c.isprintable() else " " for c in detail[:MOST_DETAIL]) + cut


def _quoted(name: str) -> str:
    return f'"{shown(name[:40])}"'
