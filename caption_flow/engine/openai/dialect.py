"""Engine `openai`: a request in the words of one server.

All of them know OpenAI's own fields, most know some of vLLM's, and a few refuse even common ones.
What a server says that it does not know it is not sent again.
"""

import re
from typing import Any

import msgspec

from caption_flow.config.openai import Endpoint
from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.engine.openai.trouble import Refusal

# What an answer must not be asked without: it would be another than was wanted.
_KEPT = frozenset({"response_format", "structured_outputs"})
_OURS = frozenset({"model", "messages", "stream"})
_RENAMED = {"max_tokens": "max_completion_tokens"}  # by the reasoning models of OpenAI
# Unknown there, which is something else than a value out of bounds.
_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|extra (input|field)"
    r"|additional propert|no such (param|field)",
    re.IGNORECASE,
)
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_STATUSES = frozenset({400, 422})


class Dialect:
    """What one server is told of what a stage asks, and in which words."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.version = 0  # rises with what is learnt
        self._endpoint = endpoint
        # By model and field, since a server may have models that differ.
        self._known: set[tuple[str, str]] = set()
        self._dropped: set[tuple[str, str]] = set()
        self._renamed: dict[tuple[str, str], str] = {}

    def body(self, stage: Stage, system: str | None, prompt: str, image_url: str | None) -> bytes:
        """Write a request."""
        model, fields = self._model(stage), self._fields(stage)
        kept = {
            self._renamed.get((model, field), field): value
            for field, value in fields.items()
            if (model, field) not in self._dropped
        }
        messages = _messages(system, prompt, image_url)
        asked = {"model": model, "messages": messages, "stream": False}
        return msgspec.json.encode(asked | kept | self._endpoint.extra_body)

    def answered(self, stage: Stage) -> None:
        """Note that the server knows what it was sent of this stage."""
        model = self._model(stage)
        self._known.update((model, field) for field in self._fields(stage))

    def learn(self, refusal: Refusal, stage: Stage) -> str:
        """Find a field that the server does not know and go without it from now on.

        Returns what is done about it; empty where it refuses something else. What the server has
        known before it knows still, though it may quote a prompt that says otherwise.
        """
        text = refusal.body.decode("utf-8", "replace")
        if refusal.status not in _STATUSES or not _UNKNOWN.search(text):
            return ""
        model = self._model(stage)
        doubted = {(model, field) for field in self._fields(stage)} - self._known - self._dropped
        named = sorted(field for _, field in doubted if _names(text, field))
        if not named or (field := named[0]) in _KEPT | self._endpoint.extra_body.keys():
            return ""
        self.version += 1
        if (other := _RENAMED.get(field)) and other in text:
            self._renamed[model, field] = other
            return f"{field} is sent as {other} from now on"
        self._dropped.add((model, field))
        return f"it is asked without {field} from now on"

    def _model(self, stage: Stage) -> str:
        return self._endpoint.model or stage.model

    def _fields(self, stage: Stage) -> dict[str, Any]:
        return _sampling(stage.sampling) | _form(stage.structured_outputs, stage.name)


def _messages(system: str | None, prompt: str, image_url: str | None) -> list[dict[str, Any]]:
    content: Any = prompt
    if image_url is not None:
        image = {"type": "image_url", "image_url": {"url": image_url}}
        content = [image, {"type": "text", "text": prompt}]
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": content}]


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """Tell what OpenAI knows, and of vLLM's own only what differs from none."""
    own: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.stop:
        own["stop"] = sampling.stop
    if sampling.repetition_penalty != 1:
        own["repetition_penalty"] = sampling.repetition_penalty
    if not sampling.skip_special_tokens:
        own["skip_special_tokens"] = False
    return own | {key: value for key, value in sampling.extra.items() if key not in _OURS}


def _form(form: StructuredOutputs | None, name: str) -> dict[str, Any]:
    if form is None:
        return {}
    if form.json is not None:
        named = {"name": _NO_NAME.sub("_", name)[:64], "schema": form.json, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    # No field of OpenAI's says these; vLLM has one of its own.
    other = {"choice": form.choice, "regex": form.regex, "grammar": form.grammar}
    return {"structured_outputs": {k: v for k, v in other.items() if v is not None}}


def _names(text: str, field: str) -> bool:
    """Tell whether a message is about a field; plain words stand in quotes where they are one."""
    quoted = rf"['\"`]{re.escape(field)}['\"`]"
    bare = rf"\b{re.escape(field)}\b" if "_" in field else quoted
    return re.search(rf"{quoted}|{bare}", text) is not None
