"""Preview: an engine that is listened to, as it is asked and as it answers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from caption_flow.engine.port import Engine, Output, Request
from caption_flow.lifecycle import Drain
from caption_flow.preview.told import Exchange, Told
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.ladder import Answer
from caption_flow.worker.meter import Meter

_Ladder: TypeAlias = asyncio.Task[Any]  # each prompt with its second tries has one to itself


class Listener(Caretaker):
    """A caretaker that remembers what it heard."""

    def __init__(self, engine: Engine, *, timeout: float, meter: Meter, drain: Drain) -> None:
        super().__init__(engine, timeout=timeout, meter=meter, drain=drain)
        self._heard: dict[tuple[str, str], dict[_Ladder | None, list[Exchange]]] = {}

    async def ask(self, request: Request, entered: Callable[[], None]) -> Output:
        """Run a request, see Caretaker."""
        heard = self._ladders(request.sample, request.stage.name)
        tries = heard.setdefault(asyncio.current_task(), [])
        begun = 0.0

        def enter() -> None:
            nonlocal begun
            begun = time.monotonic()
            entered()

        output = await super().ask(request, enter)
        tries.append(_exchange(request, output, time.monotonic() - begun))
        return output

    def told(self, sample: str, stage: str, answers: Sequence[Answer]) -> tuple[Told, ...]:
        """Tell what was said to the prompts of a stage; no `answers`: it has failed."""
        ladders = [tries for tries in self._ladders(sample, stage).values() if tries]
        if not answers:
            return tuple(Told(tuple(tries), None) for tries in ladders)
        # What was heard before an engine died was asked again.
        last = ladders[-len(answers) :]
        return tuple(
            Told(tuple(tries[-answer.tries :]), answer)
            for tries, answer in zip(last, answers, strict=True)
        )

    def _ladders(self, sample: str, stage: str) -> dict[_Ladder | None, list[Exchange]]:
        return self._heard.setdefault((sample, stage), {})


def _exchange(request: Request, output: Output, seconds: float) -> Exchange:
    return Exchange(
        system_prompt=request.system,
        prompt=request.prompt,
        text=output.text,
        finish_reason=output.finish_reason,
        prompt_tokens=output.prompt_tokens,
        output_tokens=output.output_tokens,
        seconds=seconds,
    )
