"""Consent: which servers of a job of others are contacted, and with which key.

Only those at or below a URL that the operator names. The key for one is in the variable that the
operator names beside it, whatever variable the job names: so a job can neither read another key of
this host, nor have one sent to where it does not belong.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from caption_flow.config.allowing import AllowedEndpoint, PlainUrl, is_allowed
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.vllm import Stage
from caption_flow.config.words import shown
from caption_flow.worker import permitted

MOST_SECONDS = 3600.0  # for one request


class Servers:
    """The servers of a job, as far as they are allowed."""

    def __init__(
        self, told: OpenaiConfig, allowed: Sequence[AllowedEndpoint], models: Sequence[str]
    ) -> None:
        self._told = told
        self._models = models
        self._judged = [_judged(endpoint, allowed, models) for endpoint in told.endpoints]
        self.allowed = OpenaiConfig(
            endpoints=tuple(each for each in self._judged if isinstance(each, Endpoint))
        )

    def objections(self, stage: Stage) -> Iterator[str]:
        """Say why no server may be asked for a stage."""
        serving = self._told.serving(stage.model)
        judged = [
            each
            for endpoint, each in zip(self._told.endpoints, self._judged, strict=True)
            if endpoint in serving
        ]
        willing = tuple(each for each in judged if isinstance(each, Endpoint))
        if not serving:
            yield "openai.endpoints has no server for its model"
        elif not willing:
            yield from dict.fromkeys(each for each in judged if isinstance(each, str))
        elif self.allowed.serving(stage.model) != willing:
            # Where a model is named by none that is left, the stage would go to those of others.
            yield f"openai.endpoints: none that is allowed names the model {shown(stage.model)}"
        elif not all(each.model for each in willing):
            yield from _of_model(f"model is {shown(stage.model)}", stage.model, self._models)


def _judged(
    endpoint: Endpoint, allowed: Sequence[AllowedEndpoint], models: Sequence[str]
) -> Endpoint | str:
    """Give a server as it may be asked, or say why not."""
    url = PlainUrl.parse(endpoint.base_url)
    found = [each for each in allowed if url is not None and each.url.covers(url)]
    if url is None or not found:
        return f"openai.endpoints: {shown(endpoint.base_url)} is not below an allow_endpoints"
    key = next((each.key for each in found if each.key), None)
    if why := next(_objections(endpoint, key, models), None):
        return f"openai.endpoints: {shown(endpoint.base_url)}: {why}"
    # Spelt anew, so that what was compared is what is connected to.
    return replace(
        endpoint,
        base_url=str(url),
        api_key_env=key,
        timeout=min(endpoint.timeout, MOST_SECONDS),
    )


def _objections(endpoint: Endpoint, key: str | None, models: Sequence[str]) -> Iterator[str]:
    if endpoint.api_key_env is not None and key is None:
        yield "api_key_env asks for a key, and allow_endpoints names no variable beside this URL"
    if endpoint.headers:
        yield "headers may not be set by a job of others"
    yield from permitted.objections(
        "extra_body", endpoint.extra_body, permitted.FIELDS, "field of a request"
    )
    if endpoint.model:
        yield from _of_model(f"model is {shown(endpoint.model)}", endpoint.model, models)


def _of_model(what: str, model: str, allowed: Sequence[str]) -> Iterator[str]:
    if allowed and not is_allowed(model, None, allowed):
        yield f"{what}, which allow_models does not name"
