"""The settings document: what a worker and a sink must know of the job, as it stands in Redis."""

import hashlib
import re

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from caption_flow.config.dataset import DownloadConfig
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.schema import ImagesConfig, JobConfig, SimulatedConfig
from caption_flow.config.vllm import Stage
from caption_flow.errors import CaptionFlowError

_SECRET = re.compile(r"(api|access|private|secret|auth)\w*key|password|secret|authori|cookie", re.I)


class Broadcast(Struct, frozen=True):
    """The part of a job's configuration that all its processes share."""

    engine: str
    stages: tuple[Stage, ...]  # in the order they run
    batch_size: int  # requests in an engine at once, at most
    openai: OpenaiConfig
    simulated: SimulatedConfig
    images: ImagesConfig
    download: DownloadConfig  # of images that the workers read themselves
    max_file_size: int  # bytes of one of them
    lease_seconds: float
    max_attempts: int
    engine_timeout: float  # seconds
    lanes: int = 1  # over which the job is spread; as long as there is the job

    def encode(self) -> bytes:
        """Write as JSON, the same bytes for the same settings."""
        plain = msgspec.to_builtins(self)
        for stage in plain["stages"]:
            form = stage["structured_outputs"]
            if form and form["json"] is not None:
                # Models answer in the order in which a schema has its properties.
                form["json"] = msgspec.Raw(msgspec.json.encode(form["json"]))
        if self.lanes == 1:  # as earlier versions wrote it, so that a job has no other settings now
            del plain["lanes"]
        return msgspec.json.encode(plain, order="sorted")

    @classmethod
    def decode(cls, document: bytes) -> "Broadcast":
        """Read what `encode` wrote."""
        try:
            return msgspec.json.decode(document, type=cls)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise CaptionFlowError(
                f"The job's settings cannot be read ({exc}). "
                "Run the same version of caption-flow everywhere."
            ) from exc

    @property
    def outputs(self) -> tuple[str, ...]:
        """The fields that the stages write, each once."""
        return tuple(dict.fromkeys(stage.output_field for stage in self.stages))

    @property
    def fields(self) -> dict[str, str]:
        """The columns that answers of a form become beside that, each with its kind."""
        forms = [s.structured_outputs for s in self.stages if s.structured_outputs]
        return {name: kind for form in forms for name, kind in form.fields.items()}


def broadcast(config: JobConfig) -> Broadcast:
    """Make the settings document of a job."""
    return Broadcast(
        engine=config.engine,
        stages=config.stages(),
        batch_size=config.vllm.batch_size,
        openai=config.openai,
        simulated=config.simulated,
        images=config.images,
        download=config.dataset.download,
        max_file_size=config.dataset.max_file_size,
        lease_seconds=config.lease_seconds,
        max_attempts=config.max_attempts,
        engine_timeout=config.engine_timeout,
        lanes=config.lanes,
    )


def fingerprint(stage: Stage) -> str:
    """Tell the prompts of a stage from all others, in 16 hex digits."""
    asked = msgspec.json.encode([stage.system_prompt, *stage.prompts])
    return hashlib.sha256(asked).hexdigest()[:16]


def without_secrets(settings: Broadcast) -> Broadcast:
    """Leave out what is for the workers of the job's own operator alone."""
    pool = settings.openai
    endpoints = tuple(_bare(endpoint) for endpoint in pool.endpoints)
    return replace(settings, openai=replace(pool, endpoints=endpoints))


def _bare(endpoint: Endpoint) -> Endpoint:
    body = {name: value for name, value in endpoint.extra_body.items() if not _SECRET.search(name)}
    return replace(endpoint, headers={}, extra_body=body)
