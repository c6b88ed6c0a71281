"""Bench: a `caption-flow worker` whose captions are as long as their images say.

    python -m tests.bench.lengths_worker worker --redis redis://… --job bench

What a request asks of the model is changed as it enters the engine; all else is the worker's own.
"""

from msgspec.structs import replace

from caption_flow.cli.main import main
from caption_flow.engine import vllm
from caption_flow.engine.port import Output, Request
from tests.bench.lengths import LONGEST, length_of

_caption = vllm.VllmEngine.caption


def exact(request: Request) -> Request:
    """Ask for a caption of exactly its length."""
    length = length_of(request.data)
    extra = {"ignore_eos": True, "repetition_detection": None}
    sampling = request.stage.sampling
    wanted = replace(sampling, max_tokens=length, extra={**sampling.extra, **extra})
    return replace(request, stage=replace(request.stage, sampling=wanted))


async def _exactly(engine: vllm.VllmEngine, request: Request) -> Output:
    return await _caption(engine, exact(request) if request.data else request)


if __name__ == "__main__":
    vllm.VllmEngine.caption = _exactly  # type: ignore[method-assign]
    # A job has few ways of sampling, and remembers them; here each length is one.
    vllm.SAMPLINGS = LONGEST + 1
    main()
