"""Engine `openai`: what a reply says. Servers are strangers; nothing in it is taken on trust."""

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from caption_flow.engine.openai.line import Reply
from caption_flow.engine.openai.trouble import Busy, Down, Refusal, Spoilt, Trouble, words
from caption_flow.engine.port import Output

_BUSY = frozenset({429, 503, 529})
_DOWN = frozenset({502, 504, *range(520, 528)})  # those who pass requests on say so, not models
_SPOILT = frozenset({408, 409, 425})
_STATUSES_END = 600
_MOST_COUNT = 2**31  # tokens
_MOST_NAME = 200  # characters


class _Message(Struct):
    content: str | None = None  # of a reasoning model that came to no end: null
    refusal: str | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None
    error: Any = None


class _Completion(Struct):
    choices: list[_Choice] = []
    error: Any = None  # of servers that have begun a good answer before they know of it
    model: Any = None
    usage: Any = None


_DECODER = msgspec.json.Decoder(_Completion)


def read_output(reply: Reply, secret: str | None) -> Output:
    """Return what the model said, or raise the trouble."""
    if reply.head.status != HTTPStatus.OK:
        raise _trouble(reply.head.status, reply, secret)
    if "json" not in (kind := reply.head.get("content-type")).lower():
        raise Spoilt(f"an answer that is no JSON but {words(kind.encode(), secret) or 'unnamed'}")
    try:
        completion = _DECODER.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        said = words(reply.body, secret)
        raise Spoilt(f"an answer that is no chat completion ({exc}): {said}") from exc
    if completion.error:
        raise _trouble(_status(completion.error), reply, secret)
    if not completion.choices:
        raise Spoilt(f"an answer without choices: {words(reply.body, secret)}")
    choice = completion.choices[0]
    if choice.error or choice.finish_reason == "error":
        raise _trouble(_status(choice.error), reply, secret)
    usage = completion.usage if isinstance(completion.usage, dict) else {}
    return Output(
        text=(choice.message.content or choice.message.refusal or "").strip(),
        finish_reason=_name(choice.finish_reason),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        model=_name(completion.model),
    )


def read_models(reply: Reply, secret: str | None) -> list[str]:
    """Return the names of the models, none where the server does not list them; or the trouble."""
    if reply.head.status != HTTPStatus.OK:
        raise _trouble(reply.head.status, reply, secret)
    try:
        listed = msgspec.json.decode(reply.body)["data"]
        return [_name(model["id"]) for model in listed]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, TypeError, LookupError):
        return []


def _trouble(status: int, reply: Reply, secret: str | None) -> Trouble:
    said = f"{status} {words(reply.body, secret)}".strip()
    if status in _BUSY:
        return Busy(said, reply.head.retry_after)
    if status in _DOWN:
        return Down(said)
    if status in _SPOILT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Spoilt(said)
    if reply.head.location is not None:
        said = f"{status}, elsewhere, and redirects are not followed"
    return Refusal(said, status, reply.body)


def _status(error: Any) -> int:
    """Read the status from an error that came as an answer; 500 where it has none."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < _STATUSES_END:
        return code
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _count(value: Any) -> int:
    sound = isinstance(value, int) and 0 <= value < _MOST_COUNT
    return int(value) if sound else 0


def _name(value: Any) -> str:
    return (
        words(value.encode("utf-8", "replace"), None)[:_MOST_NAME] if isinstance(value, str) else ""
    )
