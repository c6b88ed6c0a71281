"""Preview: what is shown of one image: what was asked in each stage, and what came of it."""

from collections.abc import Sequence

from msgspec import Struct

from caption_flow.config.vllm import Stage
from caption_flow.model import Sample
from caption_flow.worker.ladder import Answer
from caption_flow.worker.verdict import Verdict


class Exchange(Struct, frozen=True):
    """One request, and what the model said."""

    system_prompt: str | None  # filled in, as the prompt is
    prompt: str
    text: str  # as the model gave it
    finish_reason: str
    prompt_tokens: int
    output_tokens: int
    seconds: float  # in the engine


class Told(Struct, frozen=True):
    """One prompt, and all that was said to it."""

    tries: tuple[Exchange, ...]  # one or more
    answer: Answer | None  # None: its stage has failed

    @property
    def kept(self) -> Exchange:
        """The try that became the answer; the last where none did."""
        return self.tries[-1 if self.answer is None else self.answer.kept]

    @property
    def seconds(self) -> float:
        """Time in the engine, of all tries."""
        return sum(one.seconds for one in self.tries)

    @property
    def output_tokens(self) -> int:
        """Tokens that the model gave, likewise."""
        return sum(one.output_tokens for one in self.tries)

    @property
    def prompt_tokens(self) -> int:
        """Tokens that it was given, likewise."""
        return sum(one.prompt_tokens for one in self.tries)


class Passage(Struct, frozen=True):
    """One stage, with what was said to each of its prompts."""

    stage: Stage
    told: tuple[Told, ...]


class Shown(Struct, frozen=True):
    """One image, and what the stages made of it."""

    sample: Sample
    passages: tuple[Passage, ...] = ()
    failure: Verdict | None = None  # why it would be given up
    stage: str = ""  # in which stage; "": before any

    @property
    def told(self) -> list[Told]:
        """What was said to it in all stages."""
        return [told for passage in self.passages for told in passage.told]


class Summary(Struct, frozen=True):
    """What was done with one setting."""

    images: int  # that have all their captions
    failed: int
    captions: int
    output_tokens: int
    seconds: float  # captioning
    loading: float  # seconds before that

    @classmethod
    def of(cls, shown: Sequence[Shown], *, seconds: float, loading: float) -> "Summary":
        """Sum up."""
        told = [one for each in shown for one in each.told]
        failed = sum(each.failure is not None for each in shown)
        return cls(
            images=len(shown) - failed,
            failed=failed,
            captions=sum(one.answer is not None for one in told),
            output_tokens=sum(one.output_tokens for one in told),
            seconds=seconds,
            loading=loading,
        )
