"""Worker: a sample's visit to the engine, from the encoded image to what each stage made of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from msgspec import UNSET

from caption_flow import traces
from caption_flow.config.resampling import resampled
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output, Request
from caption_flow.errors import EngineFailed
from caption_flow.lifecycle import Drain
from caption_flow.model import Outcome
from caption_flow.structured import parse
from caption_flow.worker.caretaker import Caretaker
from caption_flow.worker.duty import Visit
from caption_flow.worker.gate import Gate
from caption_flow.worker.ladder import Answer, climb
from caption_flow.worker.mean import Mean
from caption_flow.worker.prepare import Prepared, Preparer
from caption_flow.worker.wording import filling

# Decoded images held for the next free slots: what a slot never waits for, yet bounded memory.
DECODED_AHEAD = 0.25  # of the engine's capacity
DECODED_AHEAD_LEAST = 4

_NOTHING = Prepared(b"", "")  # is shown in a stage that takes no image


class Unshown(Exception):
    """A visit needs an image that was not fetched for it; it never leaves the worker."""


class Captioner:
    """Leads visits through the engine, as many requests at once as may be inside."""

    def __init__(
        self, engine: Caretaker, *, drain: Drain, worker: str, contributor: str, threads: int
    ) -> None:
        self._engine = engine
        self._drain = drain
        self._worker = worker
        self._contributor = contributor
        self._preparer = Preparer(threads=threads, decodes=engine.decodes)
        self._ahead = max(DECODED_AHEAD_LEAST, int(engine.capacity * DECODED_AHEAD))
        self._gate = Gate(engine.capacity + self._ahead)
        self.preparing = Mean()  # seconds

    def resize(self, in_flight: int) -> None:
        """Have so many requests in the engine from now on, and images ready for the next ones."""
        self._engine.resize(in_flight)
        self._gate.resize(in_flight + self._ahead)

    def admitted(self, *, alone: bool) -> AbstractAsyncContextManager[None]:
        """Have room for one visit, `alone` with no other beside it, be it decoded or captioned."""
        return self._gate.passed(alone=alone)

    async def lead(self, visit: Visit, data: bytes | None, entered: Callable[[], None]) -> None:
        """Make what is left of a visit, for a sample that is admitted.

        `entered` is called when a request goes to the engine. Raises Unshown, BadImage, and what
        Caretaker.ask raises; what was made before that stays made. Ends after a stage where a
        drain is asked.
        """
        image = await self._prepare(visit, data)
        while (stage := visit.stage) is not None:
            visit.made.append(await self._pass(visit, stage, image, entered))
            if self._drain.asked:
                return

    def close(self) -> None:
        """End the threads."""
        self._preparer.close()

    async def _prepare(self, visit: Visit, data: bytes | None) -> Prepared | None:
        if not visit.shows:
            return None
        if data is None:
            raise Unshown
        with self.preparing.timed():
            return await self._preparer.prepare(visit, data)

    async def _pass(
        self, visit: Visit, stage: Stage, image: Prepared | None, entered: Callable[[], None]
    ) -> Outcome:
        shown = image if stage.image else None
        with traces.span("engine", visit.lease.sample, stage=stage.name):
            answers = await self._answers(visit, stage, shown, entered)
        visit.answers[stage.name] = answers
        texts = [answer.text for answer in answers if answer.text]
        if not texts:
            raise EngineFailed("The model answered with nothing.")
        return Outcome(
            stage=stage.name,
            outputs={stage.output_field: texts},
            engine=self._engine.name,
            model=visit.model or self._engine.model,
            prompts=visit.duty.prompts[stage.name],
            prompt_tokens=sum(answer.prompt_tokens for answer in answers),
            output_tokens=sum(answer.output_tokens for answer in answers),
            finish_reasons=[answer.finish_reason for answer in answers],
            settings_version=visit.duty.version,
            attempt=visit.lease.attempt,
            worker=self._worker,
            contributor=self._contributor,
            captioned_at=time.time(),
            picture=UNSET if shown is None else shown.picture,
            fields={name: value for answer in answers for name, value in answer.fields.items()},
            flags=tuple(dict.fromkeys(flag for answer in answers for flag in answer.flags)),
            tries=max(answer.tries for answer in answers),
        )

    async def _answers(
        self, visit: Visit, stage: Stage, image: Prepared | None, entered: Callable[[], None]
    ) -> list[Answer]:
        """Ask each prompt of a stage, side by side."""
        sample, shown = visit.lease.sample, image or _NOTHING
        fill = filling(sample, visit.outcomes)
        system = stage.system_prompt and fill(stage.system_prompt)

        async def ask(stage: Stage, prompt: str) -> Output:
            request = Request(
                visit.request(),
                sample.id,
                stage,
                prompt,
                shown.data,
                shown.pixels,
                shown.sha256,
                system,
                visit.duty.images,
            )
            output = await self._engine.ask(request, entered)
            visit.model = output.model
            return output

        asked = resampled(stage, sample.sampling)
        prompts = map(fill, stage.prompts)
        return await _together(
            [climb(ask, asked, prompt, reword=fill, read=_read) for prompt in prompts]
        )


async def _together(climbs: Sequence[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    if len(climbs) == 1:
        return [await climbs[0]]
    asked = [asyncio.ensure_future(one) for one in climbs]
    try:
        return await asyncio.gather(*asked)
    finally:
        for task in asked:  # those whose answers nobody waits for any more
            task.cancel()


def _read(stage: Stage, text: str) -> dict[str, Any]:
    form = stage.structured_outputs
    return {} if form is None else parse(form, text)
