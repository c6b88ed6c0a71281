"""What may be configured: three documents as trees of small frozen structs.

`load` fills them from YAML, variables and flags. A field's type carries its bounds; what
only several fields together can get wrong is checked in `__post_init__`, whose ConfigError
has one line per mistake, each beginning with the name of the field.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field
from msgspec.structs import replace

from caption_flow.config import allowing
from caption_flow.config.dataset import DatasetConfig
from caption_flow.config.openai import OpenaiConfig
from caption_flow.config.proxy import AuthConfig, ProxyConfig, SslConfig
from caption_flow.config.sizes import MIB
from caption_flow.config.values import (
    ByteSize,
    Count,
    Digest,
    EngineArgs,
    Latency,
    LocalPath,
    Name,
    Pause,
    Port,
    RedisUrl,
    Seconds,
    Secret,
    SecretPath,
    ServerUrl,
    Settings,
    Text,
    TokenRange,
    no_networks,
    refuse,
)
from caption_flow.config.vllm import Stage, VllmConfig
from caption_flow.config.wording import Need
from caption_flow.errors import ConfigError

Kind: TypeAlias = Literal["job", "worker", "monitor"]  # which of the documents
MOST_PREPARERS = 64
Preparing: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_PREPARERS)] | Literal["auto"]


class ImagesConfig(Settings, frozen=True):
    """How large an image may travel."""

    max_side: Count | None = 2048  # pixels; shrunk beyond; None: as it is
    max_bytes: ByteSize = 8 * MIB  # encoded; shrunk beyond
    max_pixels: Count = 178_956_970  # refused beyond


class SimulatedConfig(Settings, frozen=True):
    """An engine without a model, for trials and benchmarks."""

    latency: Latency = (0.0, 0.0)  # seconds a request takes, lowest and highest
    slots: Count = 64  # requests at once
    tokens: TokenRange = (20, 60)  # length of a caption, lowest and highest
    decode: bool = False  # decode the pixels as a real engine does
    dies_of: tuple[Digest, ...] = ()  # images, by SHA-256 as fed: to rehearse an engine's death
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        pairs = {"latency": self.latency, "tokens": self.tokens}
        wrong = [name for name, (low, high) in pairs.items() if low > high]
        refuse(f"{name} has the highest first; write [lowest, highest]" for name in wrong)


class StorageConfig(Settings, frozen=True):
    """Where captions go, and when a part is finished."""

    data_dir: LocalPath = "./caption_data"
    rows_per_part: Count = 10_000
    seconds_per_part: Seconds = 60.0


class BudgetConfig(Settings, frozen=True):
    """How much may be in flight before the feeders wait."""

    bytes: ByteSize = 256 * MIB  # of Redis' memory, for samples with their encoded images
    samples: Count = 50_000


class JobConfig(Settings, frozen=True):
    """One data set with one settings document: what all roles that serve a job read."""

    job: Name | None = None  # None: named after the data set
    redis: RedisUrl | None = None  # None: a server of our own, where the command starts one
    server: ServerUrl | None = None  # a proxy, for commands that do not reach Redis
    token: Secret | None = None
    verify_ssl: bool = True
    ca_cert: LocalPath | None = None  # what the proxy's certificate is checked against
    host: Text = "0.0.0.0"  # noqa: S104  # the proxy is there to be reached from elsewhere
    port: Port = 8765  # 0: any free one
    cert: LocalPath | None = None
    key: SecretPath | None = None
    ssl: SslConfig = field(default_factory=SslConfig)
    no_ssl: bool = False  # listen without TLS beyond this host
    metrics_port: Port | None = None  # for a monitoring system; 0: any free one; None: none
    metrics_host: Text = "127.0.0.1"  # anybody who reaches it may read them
    log_format: Literal["plain", "json"] = "plain"
    chunk_size: Count = 1000  # samples
    lanes: Annotated[int, Meta(ge=1, le=64)] = 1  # keys of the job are spread over so many slots
    lease_seconds: Seconds = 20.0  # unrenewed that long, a claimed entry goes to another
    max_attempts: Count = 3  # failures of its own before a sample is a dead letter
    engine_timeout: Seconds = 300.0  # an engine that gives no token for so long is started again
    engine: Literal["vllm", "openai", "simulated"] = "vllm"
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    vllm: VllmConfig = field(default_factory=VllmConfig)
    openai: OpenaiConfig = field(default_factory=OpenaiConfig)
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)

    def __post_init__(self) -> None:
        cert, key = self.cert or self.ssl.cert, self.key or self.ssl.key
        refuse(["key is missing; a cert needs its key"] if cert and not key else ())
        refuse(["cert is missing; a key needs its cert"] if key and not cert else ())

    @property
    def tls(self) -> tuple[str, str] | None:
        """Certificate and key, from either place; None: plain ws://."""
        cert, key = self.cert or self.ssl.cert, self.key or self.ssl.key
        return (cert, key) if cert and key else None

    def needs(self) -> tuple[Need, ...]:
        """Return the columns of the data set that prompts are filled in with."""
        return tuple(replace(need, prompt=f"vllm.{need.prompt}") for need in self.vllm.needs())

    def stages(self) -> tuple[Stage, ...]:
        """Return the resolved stages; each has a model where the engine needs one."""
        stages = self.vllm.resolved_stages()
        if self.engine == "vllm" and not all(stage.model for stage in stages):
            raise ConfigError('vllm.model is missing; name the model, or set "engine: simulated"')
        if self.engine == "simulated":
            refuse(_patterns(stages))
        if self.engine == "openai":
            refuse(self.openai.missing((stage.name, stage.model) for stage in stages))
        return stages


class WorkerConfig(Settings, frozen=True):
    """What one worker knows of itself and of the way to its job."""

    redis: RedisUrl | None = None
    job: Name | None = None
    server: ServerUrl | None = None  # the proxy, for a worker that does not reach Redis
    token: Secret | None = None
    name: Text | None = None  # None: from host and process
    gpu_id: Annotated[int, Meta(ge=0)] | None = None
    stages: tuple[Name, ...] = ()  # to serve; none: all
    batch_size: Count | None = None  # None: as the job says
    verify_ssl: bool = True
    ca_cert: LocalPath | None = None  # what the proxy's certificate is checked against
    trust_remote_code: bool = False  # run code that comes with the model
    allow_models: tuple[Text, ...] = ()  # to load for a job of others; none: any of the hub
    allow_pickle: bool = False  # load weights for it that are no safetensors
    allow_endpoints: tuple[Text, ...] = ()  # to send its images to, by URL
    drain_timeout: Pause = 15.0  # seconds a clean stop waits for requests in the engine
    decode_threads: Count | None = None  # None: by the number of cores
    preparers: Preparing = 0  # processes that decode for a model; auto: as many as it needs
    engine_timeout: Seconds | None = None  # None: as the job says
    allow_networks: tuple[Text, ...] = ()  # addresses to fetch from, though they are not public
    exit_when_done: bool = False
    when_finished: Literal["stay_connected", "shutdown", "post_exec_hook"] | None = None
    post_exec_hook: str | tuple[str, ...] | None = None  # text: for the shell; list: as it is
    metrics_port: Port | None = None  # for a monitoring system; 0: any free one; None: none
    metrics_host: Text = "127.0.0.1"  # anybody who reaches it may read them
    log_format: Literal["plain", "json"] = "plain"
    vllm: EngineArgs = field(default_factory=dict)  # engine arguments of this host

    def __post_init__(self) -> None:
        refuse(no_networks(self.allow_networks))
        refuse(allowing.mistakes(self.allow_models, self.allow_endpoints))
        refuse(self._of_strangers())
        if self.when_finished == "post_exec_hook" and not self.post_exec_hook:
            raise ConfigError("post_exec_hook is missing; when_finished asks for it")
        foreign = [name for name in self.vllm if name in _OF_THE_JOB]
        refuse(f"vllm.{name} belongs in the job's document, not in a worker's" for name in foreign)

    def _of_strangers(self) -> Iterator[str]:
        named = self.allow_models or "model" in self.vllm
        if self.server is not None and self.trust_remote_code and not named:
            yield (
                "trust_remote_code runs code of any model that the job of this server names; say "
                "which ones with allow_models"
            )

    @property
    def hook(self) -> str | tuple[str, ...] | None:
        """The command to run once the job is done; None: none."""
        wanted = self.when_finished in {None, "post_exec_hook"}
        return self.post_exec_hook if wanted else None


class MonitorConfig(Settings, frozen=True):
    """What the terminal monitor looks at and shows."""

    redis: RedisUrl | None = None
    job: Name | None = None
    server: ServerUrl | None = None
    token: Secret | None = None
    verify_ssl: bool = True
    ca_cert: LocalPath | None = None  # what the proxy's certificate is checked against
    refresh_rate: Seconds = 1.0  # seconds between two looks
    show_contributors: bool = True
    show_throughput_graph: bool = True
    max_activity_items: Annotated[int, Meta(ge=0)] = 20  # lines


def _patterns(stages: Iterable[Stage]) -> Iterator[str]:
    for stage in stages:
        if stage.structured_outputs and stage.structured_outputs.regex is not None:
            yield (
                f'engine is "simulated", which makes no answers of a regex, as the stage '
                f'"{stage.name}" asks for; use json or choice, or an engine with a model'
            )


# model is not among them: the operator of a host may have it under another path.
_OF_THE_JOB = frozenset(VllmConfig.__struct_fields__) - {"model"}
