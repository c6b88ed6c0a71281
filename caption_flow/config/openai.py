"""Servers that speak OpenAI's protocol: where they are, and how much they bear."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from msgspec import field

from caption_flow.config.sizes import MIB
from caption_flow.config.values import ByteSize, Count, EngineArgs, Seconds, Settings, Text, refuse

# The document comes from whoever runs the job. It must not make a worker send just any secret of
# its host to just any server.
_KEY_VARIABLE = re.compile(r"[A-Z0-9_]*API_KEY")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")
_SECRET_HEADER = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_OUR_HEADERS = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "transfer-encoding"),
        *("accept", "accept-encoding", "expect", "te", "trailer", "upgrade"),
    }
)
_OUR_FIELDS = {"messages": "prompts", "stream": "no setting", "model": "the endpoint's model"}
_PATH = "/chat/completions"


class Endpoint(Settings, frozen=True):
    """One server, or one account on it."""

    base_url: Text  # with /v1, as its documentation says
    api_key_env: Text | None = None  # variable in the worker's environment that holds the key
    model: Text | None = None  # None: the stage's
    headers: dict[str, str] = field(default_factory=dict)
    extra_body: EngineArgs = field(default_factory=dict)  # laid over each request
    requests_per_minute: Count | None = None  # of one worker
    timeout: Seconds = 120.0  # seconds for one request
    max_image_bytes: ByteSize = 20 * MIB  # encoded; shrunk beyond

    def __post_init__(self) -> None:
        refuse([*_url_mistakes(self.base_url), *self._mistakes()])

    @property
    def url(self) -> str:
        """Where it is, without the slash at the end that some write; also its name in logs."""
        return self.base_url.rstrip("/")

    def _mistakes(self) -> Iterator[str]:
        if self.api_key_env is not None and not _KEY_VARIABLE.fullmatch(self.api_key_env):
            # What stands there may be the key.
            yield (
                "api_key_env must be the name of an environment variable, in capitals and ending "
                "in API_KEY, such as OPENAI_API_KEY; the key itself belongs in that variable"
            )
        for name, value in self.headers.items():
            yield from _header_mistakes(name, value)
        for name in self.extra_body.keys() & _OUR_FIELDS.keys():
            yield f"extra_body may not hold {name}; that is for {_OUR_FIELDS[name]} to say"


class OpenaiConfig(Settings, frozen=True):
    """A pool of servers; each request goes to one of them."""

    endpoints: tuple[Endpoint, ...] = ()

    def serving(self, model: str) -> tuple[Endpoint, ...]:
        """Return the endpoints for stages of this model.

        Those that name it or none; where no endpoint names it, it goes by other names there, and
        all are meant.
        """
        if not any(endpoint.model == model for endpoint in self.endpoints):
            return tuple(e for e in self.endpoints if e.model or model)
        return tuple(e for e in self.endpoints if e.model in {None, model})

    def missing(self, stages: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Say what stages, each with its name and model, lack to be served."""
        if not self.endpoints:
            yield "openai.endpoints is empty; name a server there, at least by its base_url"
            return
        for name, model in stages:
            if not self.serving(model):
                yield (
                    f'openai.endpoints has no model for the stage "{name}"; name it there, or in '
                    "vllm.model"
                )


def _url_mistakes(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        yield f"base_url is no URL: {exc}"
        return
    if parts.scheme not in {"http", "https"} or not host or not _plain(url):
        yield "base_url must be like http://localhost:8000/v1 or https://api.openai.com/v1"
    elif parts.username is not None or parts.password is not None:
        yield "base_url must hold no user and password; name a variable in api_key_env"
    elif parts.query or parts.fragment:
        yield "base_url must end before the ? or #; name what else is needed in headers"
    elif parts.path.rstrip("/").endswith(_PATH):
        yield f"base_url must end before {_PATH}"


def _plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _header_mistakes(name: str, value: Any) -> Iterator[str]:
    if not _HEADER_NAME.fullmatch(name):
        yield "headers holds a name that no header may have"
    elif _SECRET_HEADER.search(name):
        yield f"headers may not hold {name}, a secret; name a variable in api_key_env instead"
    elif name.lower() in _OUR_HEADERS:
        yield f"headers may not hold {name}, which the program sets itself"
    elif not _HEADER_VALUE.fullmatch(value):
        yield f"headers holds a value of {name} that is not printable ASCII, at most 4,096 letters"
