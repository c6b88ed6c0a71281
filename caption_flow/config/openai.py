"""Servers that speak OpenAI's protocol: where they are, and how much they bear."""

from msgspec import field

from caption_flow.config.values import Count, EngineArgs, Seconds, Settings, Text


class Endpoint(Settings, frozen=True):
    """One server, or one account on it."""

    base_url: Text  # with /v1, as its documentation says
    api_key_env: Text | None = None  # variable in the worker's environment that holds the key
    model: Text | None = None  # None: the stage's
    headers: dict[str, str] = field(default_factory=dict)
    extra_body: EngineArgs = field(default_factory=dict)  # laid over each request
    requests_per_minute: Count | None = None
    timeout: Seconds = 120.0  # seconds for one request


class OpenaiConfig(Settings, frozen=True):
    """A pool of servers; each request goes to one of them."""

    endpoints: tuple[Endpoint, ...] = ()
