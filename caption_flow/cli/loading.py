"""Command line: the model that a command loads into its own process: its flags, and its engines."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial, wraps
from typing import Any

import click
from msgspec import Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.engine.make import make_engine, select_gpu
from caption_flow.engine.orphans import Children
from caption_flow.engine.port import Engine
from caption_flow.lifecycle import Drain
from caption_flow.preview.loaded import Loaded
from caption_flow.worker.served import Served

_OPTIONS = (
    click.option("--model", help="The model: a name on the hub, or a folder."),
    click.option("--prompt", "prompts", multiple=True, help="What to ask; each gives a caption."),
    click.option(
        "--engine", type=click.Choice(["vllm", "openai", "simulated"]), help="What runs the model."
    ),
    click.option("--batch-size", type=click.IntRange(min=1), help="Most requests in the engine."),
    click.option("--gpu-id", type=click.IntRange(min=0), help="GPU to use."),
    click.option("--trust-remote-code", is_flag=True, help="Run code that the model brings."),
)


class Loading(Struct, frozen=True):
    """What flags say of the model."""

    settings: Mapping[str, object]  # that they override
    gpu_id: int | None
    trust_remote_code: bool
    watched: bool = False  # for who measures engines

    def select_gpu(self) -> None:
        """Let this process see the GPU that is asked for, before anything is loaded."""
        if self.gpu_id is not None:
            select_gpu(self.gpu_id)

    async def during(self, drain: Drain, do: Callable[[Loaded], Coroutine[Any, Any, None]]) -> None:
        """Do something with engines, until asked to stop; they are loaded as it asks for them."""
        loaded = Loaded(partial(self._engine, drain))
        children = Children()
        try:
            await drain.cut(do(loaded))
        finally:
            if drain.asked:
                children.end()  # vLLM takes some seconds to end its processes itself
            await loaded.close()

    def _engine(self, drain: Drain, settings: Broadcast, needed: Served) -> Engine:
        return make_engine(
            settings,
            needed.stages,
            overrides={},
            batch_size=None,
            trust_remote_code=self.trust_remote_code,
            share=needed.share,
            drain=drain,
            watched=self.watched,
        )


def loads_model(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the model; the command gets what they say as `loading`."""

    @wraps(function)
    def with_loading(
        model: str | None,
        prompts: tuple[str, ...],
        engine: str | None,
        batch_size: int | None,
        gpu_id: int | None,
        trust_remote_code: bool,
        **rest: Any,
    ) -> Any:
        settings = {
            "vllm__model": model,
            "vllm__inference_prompts": prompts or None,
            "engine": engine,
            "vllm__batch_size": batch_size,
        }
        loading = Loading(settings, gpu_id, trust_remote_code)
        return function(loading=loading, **rest)

    made: Callable[..., Any] = with_loading
    for option in reversed(_OPTIONS):
        made = option(made)
    return made
