"""Worker: one prompt of one sample, asked again until its answer passes the checks of the stage.

Each check has a ladder of second tries. What comes out is the best of all answers, or Rejected
where that one fails a check that rejects.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from caption_flow.config.quality import Check
from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.engine.port import Output
from caption_flow.errors import Rejected
from caption_flow.quality import Said, failing, polished

Ask: TypeAlias = Callable[[Stage, str], Awaitable[Output]]  # the stage as sampled, the prompt

_SHOWN = 200  # characters of a rejected text that its dead letter tells


class Answer(Struct, frozen=True):
    """What is kept of all that a model said to one prompt."""

    text: str  # polished, unless it has a form
    finish_reason: str
    prompt_tokens: int  # of all tries
    output_tokens: int  # likewise
    tries: int
    kept: int = 0  # which of the tries it is, from 0
    flags: tuple[str, ...] = ()  # the checks that it fails, where they flag
    fields: dict[str, Any] = field(default_factory=dict)  # read from an answer that has a form


class _Try(Struct, frozen=True):
    output: Output
    fails: tuple[Check, ...] = ()

    @property
    def rejects(self) -> list[Check]:
        return [check for check in self.fails if check.then == "reject"]

    @property
    def faults(self) -> tuple[int, int]:
        """How bad it is: a caption that may be kept is better than one that may not."""
        return len(self.rejects), len(self.fails)


async def climb(
    ask: Ask,
    stage: Stage,
    prompt: str,
    *,
    reword: Callable[[str], str],
    read: Callable[[Stage, str], dict[str, Any]],
) -> Answer:
    """Ask, check and ask again. `reword` fills in a template for this sample, `read` takes
    the fields from an answer that has a form.

    Raises Rejected, and what `ask` and `read` raise.
    """
    output = await ask(stage, prompt)
    if not stage.quality:
        return _answer(stage, [_Try(output)], read)
    ladder = _Ladder(stage, prompt, reword)
    tries = [_tried(stage, prompt, output)]
    while (rung := ladder.next(tries[-1].fails)) is not None:
        tries.append(_tried(stage, rung[1], await ask(*rung)))
    return _answer(stage, tries, read)


def _tried(stage: Stage, prompt: str, output: Output) -> _Try:
    said = Said(output.text, output.finish_reason, prompt)
    return _Try(output, failing(stage.quality, said))


class _Ladder:
    """The second tries that are left."""

    def __init__(self, stage: Stage, prompt: str, reword: Callable[[str], str]) -> None:
        self._stage = stage
        self._prompt = prompt
        self._reword = reword
        self._spent: Counter[str] = Counter()  # second tries by the check they were for
        self._asked = [(prompt, stage.sampling)]

    def next(self, fails: Sequence[Check]) -> tuple[Stage, str] | None:
        """Give what to ask now that these checks fail; None when it is enough."""
        for check in fails:
            while self._spent[check.check] < check.retries:
                self._spent[check.check] += 1
                prompt, sampling = self._rung(check)
                # The likeliest tokens are the same ones each time.
                if sampling.temperature > 0 or (prompt, sampling) not in self._asked:
                    self._asked.append((prompt, sampling))
                    return replace(self._stage, sampling=sampling), prompt
        return None

    def _rung(self, check: Check) -> tuple[str, Sampling]:
        prompt = self._reword(check.retry_prompt) if check.retry_prompt else self._prompt
        sampling = self._stage.sampling
        if check.retry_sampling:
            place = min(self._spent[check.check], len(check.retry_sampling)) - 1
            sampling = sampling.changed(check.retry_sampling[place])
        if (prompt, sampling) in self._asked:
            sampling = _reseeded(sampling, len(self._asked))
        return prompt, sampling


def _reseeded(sampling: Sampling, by: int) -> Sampling:
    """Draw other tokens, where a seed would draw the same ones again."""
    seed = sampling.extra.get("seed")
    if not isinstance(seed, int) or sampling.temperature == 0:
        return sampling
    return replace(sampling, extra=sampling.extra | {"seed": seed + by})


def _answer(
    stage: Stage, tries: Sequence[_Try], read: Callable[[Stage, str], dict[str, Any]]
) -> Answer:
    kept = min(reversed(range(len(tries))), key=lambda n: tries[n].faults)  # the last of several
    best = tries[kept]
    if best.rejects:
        raise _rejected(best, len(tries))
    text = best.output.text
    formed = stage.structured_outputs is not None
    return Answer(
        text=text if formed else polished(text, stage.postprocess),
        finish_reason=best.output.finish_reason,
        prompt_tokens=sum(one.output.prompt_tokens for one in tries),
        output_tokens=sum(one.output.output_tokens for one in tries),
        tries=len(tries),
        kept=kept,
        flags=tuple(check.check for check in best.fails if check.then == "flag"),
        fields=read(stage, text) if formed else {},
    )


def _rejected(best: _Try, tries: int) -> Rejected:
    check = best.rejects[0].check
    shown = "".join(c if c.isprintable() else " " for c in best.output.text[:_SHOWN])
    cut = "…" if len(best.output.text) > _SHOWN else ""
    times = "once" if tries == 1 else f"{tries} times"
    return Rejected(
        check, f'asked {times}, the model gave what fails the check {check}: "{shown}{cut}"'
    )
