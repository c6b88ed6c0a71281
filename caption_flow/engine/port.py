"""Engine: what a worker asks of whatever runs the model."""

from typing import Protocol

from msgspec import Struct
from PIL.Image import Image

from caption_flow.config.schema import ImagesConfig
from caption_flow.config.vllm import Stage


class Request(Struct, frozen=True):
    """One prompt, on one image or on none."""

    id: str  # unique among the requests inside the engine
    sample: str  # id of the sample
    stage: Stage  # with its prompts as they were written, before a sample filled them in
    prompt: str
    data: bytes = b""  # the encoded image as fed; empty where the stage is shown none
    image: Image | None = None  # its pixels, RGB and upright, for an engine that wants them
    sha256: str = ""  # hex digest of the data, where it is known
    system: str | None = None  # what is said before the prompt, filled in as that is
    limits: ImagesConfig = ImagesConfig()  # for an engine that decodes the data itself


class Output(Struct, frozen=True):
    """What came out of one request."""

    text: str
    finish_reason: str  # "stop", "length", …
    prompt_tokens: int
    output_tokens: int
    model: str = ""  # what answered, where that may be another than the engine's


class Engine(Protocol):
    """Runs one model; requests go in one by one and come out in any order."""

    name: str  # as it stands in the rows
    model: str  # likewise
    decodes: bool  # whether requests need pixels; known once it has started
    capacity: int  # requests that it works on at once: its slots
    holds: int  # requests that may be inside: those beyond its slots wait there for the next
    signs: int  # of life: tokens that came out so far, or an ever rising number like it

    @property
    def preparers(self) -> int:
        """Processes of its own that prepare images now; 0 where there are none."""
        ...

    async def start(self) -> None:
        """Load the model, again if need be; EngineUnfit or ConfigError when it cannot."""
        ...

    async def caption(self, request: Request) -> Output:
        """Run one request.

        EngineFailed and EngineRefused harm only it, the second for good, as does BadImage from an
        engine that decodes; EngineDead means that all requests inside are gone, EngineGone that
        no other can be served either.
        """
        ...

    async def rehearse(self, stage: Stage) -> None:
        """Try what a stage says, of those that come once it runs; EngineUnfit or ConfigError."""
        ...

    async def stop(self) -> None:
        """Free what the engine holds, dead or alive."""
        ...
