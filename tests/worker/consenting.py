"""What tests of consent share: a worker's consent, and what it makes of settings of others."""

from typing import Any

from msgspec.structs import replace

from caption_flow.config import WorkerConfig
from caption_flow.config.broadcast import Broadcast
from caption_flow.config.vllm import Stage
from caption_flow.worker.consent import Consent

SERVER = "wss://project.example:8765"
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
ENDPOINT = "https://api.example.com/v1"


def consent(*, exists: Any = lambda _: False, **config: Any) -> Consent:
    return Consent(WorkerConfig(**{"server": SERVER, **config}), exists=exists)


def judged(told: Broadcast, **config: Any) -> tuple[Broadcast, dict[str, str]]:
    """The settings as followed, and what is declined of them."""
    one = consent(**config)
    return one.follow(told), dict(one.declined)


def stage(**changes: Any) -> Stage:
    return replace(Stage("bad", MODEL, ("See.",)), **changes)
