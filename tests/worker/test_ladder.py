"""The ladder of second tries: what is asked again and how, and what becomes of the answer."""

from collections.abc import Callable
from typing import Any

import pytest

from caption_flow.config import Sampling, Stage
from caption_flow.config.quality import Check
from caption_flow.config.sampling import SamplingChange
from caption_flow.config.structured import StructuredOutputs
from caption_flow.engine.port import Output
from caption_flow.errors import EngineFailed, Rejected
from caption_flow.worker.ladder import Answer, climb
from caption_flow.worker.verdict import Verdict, verdict

GOOD = "A red circle on a white background."
LONG = "A red circle, a blue square, a green star and a grey dot stand on a white background."
LOOP = "A red circle" + ", and a red circle" * 9
# The first prompt of every sample, and what a check may ask instead.
PROMPT = "Describe the image of {title}."
SECOND = "Say in plain words what {title} shows."

QUALITY = (
    Check(check="empty", retries=2, then="reject"),
    Check(check="too_short", words=3, retry_prompt=SECOND, then="keep"),
    Check(check="too_long", words=12, retries=0, then="flag"),
    Check(check="cut_off", retry_sampling=(SamplingChange(max_tokens=64),), then="flag"),
    Check(
        check="refusal",
        retries=3,
        retry_sampling=(SamplingChange(temperature=0.9), SamplingChange(temperature=1.2)),
        retry_prompt=SECOND,
        then="reject",
    ),
    Check(
        check="repetition",
        retry_sampling=(SamplingChange(repetition_penalty=1.3, extra={"top_k": 20}),),
        then="flag",
    ),
    Check(check="echo", retries=1, then="keep"),
    Check(check="banned_words", banned=("watermark",), then="reject"),
    Check(check="language", languages=("en",), retry_prompt="In English: {title}?", then="flag"),
)
FIRST = Sampling(temperature=0.5, max_tokens=32, repetition_penalty=1.0)
STAGE = Stage(name="caption", model="m", prompts=(PROMPT,), quality=QUALITY, sampling=FIRST)

# Per sample: what the engine answers, one after the other ("…/length": cut off); what it was asked
# the second time and later, by prompt and what differs in the sampling; what is made of it.
BAD = "I'm sorry, but I can't help with that."
AGAIN, OTHER = "first prompt", "second prompt"
TABLE: dict[str, tuple[list[str], list[tuple[str, dict[str, Any]]], str]] = {
    # passes at once
    "fine": ([GOOD], [], GOOD),
    # retried, and then passes
    "was empty": ([" ", GOOD], [(AGAIN, {})], GOOD),
    "was empty twice": ([" ", "", GOOD], [(AGAIN, {}), (AGAIN, {})], GOOD),
    "was short": (["Red.", GOOD], [(OTHER, {})], GOOD),
    "was cut off": ([f"{GOOD}/length", GOOD], [(AGAIN, {"max_tokens": 64})], GOOD),
    "was short and cut off": (["A red/length", GOOD], [(OTHER, {})], GOOD),
    "was long and cut off": ([f"{LONG}/length", GOOD], [(AGAIN, {"max_tokens": 64})], GOOD),
    "refused thrice": (
        [BAD, BAD, BAD, GOOD],
        [(OTHER, {"temperature": 0.9}), *[(OTHER, {"temperature": 1.2})] * 2],
        GOOD,
    ),
    "looped": ([LOOP, GOOD], [(AGAIN, {"repetition_penalty": 1.3, "extra": {"top_k": 20}})], GOOD),
    "echoed": ([f"{PROMPT} Red", GOOD], [(AGAIN, {})], GOOD),
    "was banned": (["A cat with a watermark.", GOOD], [(AGAIN, {})], GOOD),
    "was German": (["Ein roter Kreis auf weißem Grund.", GOOD], [("English", {})], GOOD),
    "failed one check, then another": (
        ["", "Red.", BAD, GOOD],
        [(AGAIN, {}), (OTHER, {}), (OTHER, {"temperature": 0.9})],
        GOOD,
    ),
    # kept as it is
    "stays short": (["Red.", "Red!"], [(OTHER, {})], "Red!"),
    "stays an echo": ([f"{PROMPT} Red"] * 2, [(AGAIN, {})], f"{PROMPT} Red"),
    # flagged
    "stays long": ([LONG], [], f"{LONG} [too_long]"),
    "stays cut off": (
        [f"{GOOD}/length", f"{GOOD}/length"],
        [(AGAIN, {"max_tokens": 64})],
        f"{GOOD} [cut_off]",
    ),
    "stays long and cut off": (
        [f"{LONG}/length", f"{LONG}/length"],
        [(AGAIN, {"max_tokens": 64})],
        f"{LONG} [too_long cut_off]",
    ),
    "is stopped as a loop": (
        [f"{GOOD}/repetition", f"{GOOD}/repetition"],
        [(AGAIN, {"repetition_penalty": 1.3, "extra": {"top_k": 20}})],
        f"{GOOD} [repetition]",
    ),
    "stays German": (
        ["Ein roter Kreis auf weißem Grund.", "Ein roter Kreis auf weißem Papier."],
        [("English", {})],
        "Ein roter Kreis auf weißem Papier. [language]",
    ),
    # an earlier answer is better than the last
    "gets worse": (["Red.", ""], [(OTHER, {}), (AGAIN, {}), (AGAIN, {})], "Red."),
    # rejected
    "stays empty": (["", "", ""], [(AGAIN, {}), (AGAIN, {}), (OTHER, {})], "rejected_empty"),
    "stays refused": (
        [BAD] * 4,
        [(OTHER, {"temperature": 0.9}), *[(OTHER, {"temperature": 1.2})] * 2],
        "rejected_refusal",
    ),
    "stays banned": (["A cat with a watermark."] * 2, [(AGAIN, {})], "rejected_banned_words"),
}


class FailingModel:
    """Answers in turn, the last answer again and again, and notes what it was asked."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, Sampling]] = []

    async def ask(self, stage: Stage, prompt: str) -> Output:
        self.asked.append((prompt, stage.sampling))
        text = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        text, _, reason = text.partition("/")
        return Output(text, reason or "stop", prompt_tokens=10, output_tokens=3)


def changed(sampling: Sampling, first: Sampling = FIRST) -> dict[str, Any]:
    now, then = ({n: getattr(s, n) for n in s.__struct_fields__} for s in (sampling, first))
    return {name: value for name, value in now.items() if value != then[name]}


def unread(_: Stage, text: str) -> dict[str, Any]:
    raise AssertionError(f"{text} has no form")


async def climbed(
    model: FailingModel,
    stage: Stage = STAGE,
    read: Callable[[Stage, str], dict[str, Any]] = unread,
) -> Answer:
    return await climb(
        model.ask, stage, PROMPT, reword=lambda text: text.format(title="Dawn"), read=read
    )


WORDS = {
    AGAIN: PROMPT,
    OTHER: "Say in plain words what Dawn shows.",
    "English": "In English: Dawn?",
}


@pytest.mark.parametrize(("answers", "second", "expected"), TABLE.values(), ids=TABLE)
async def test_second_tries_and_what_becomes_of_the_answer_are_as_configured(
    answers: list[str], second: list[tuple[str, dict[str, Any]]], expected: str
):
    model = FailingModel(*answers)

    try:
        answer = await climbed(model)
        made = answer.text + (f" [{' '.join(answer.flags)}]" if answer.flags else "")
    except Rejected as exc:
        made = exc.reason

    [first, *later] = model.asked
    assert first == (PROMPT, FIRST)
    assert [(p, changed(s)) for p, s in later] == [(WORDS[name], keys) for name, keys in second]
    assert made == expected


async def test_tokens_of_all_tries_are_counted():
    answer = await climbed(FailingModel("", "Red.", GOOD))

    assert (answer.tries, answer.prompt_tokens, answer.output_tokens) == (3, 30, 9)


async def test_without_checks_any_answer_is_kept():
    answer = await climbed(FailingModel(""), Stage(name="a", model="m", prompts=("?",)))

    assert (answer.text, answer.tries, answer.flags) == ("", 1, ())


async def test_rejected_sample_is_given_up_at_once_with_what_the_model_said():
    with pytest.raises(Rejected) as raised:
        await climbed(FailingModel(f"{BAD}\x1b[31m\n" + " ".join(map(str, range(200)))))

    why = verdict(raised.value)
    assert why == Verdict("rejected_refusal", raised.value.detail, again=False)
    assert why.detail.startswith(
        f'asked 4 times, the model gave what fails the check refusal: "{BAD} [31m 0 1 2'
    )
    assert why.detail.isprintable()
    assert len(why.detail) < 300


async def test_answer_that_may_be_kept_is_better_than_one_that_fails_less_but_may_not():
    stage = Stage(
        name="a",
        model="m",
        prompts=("?",),
        quality=(
            Check(check="too_short", words=5, then="flag"),
            Check(check="cut_off", retries=0, then="flag"),
            Check(check="refusal", retries=0, then="reject"),
        ),
    )

    answer = await climbed(FailingModel("Red/length", f"{BAD}"), stage)

    assert (answer.text, answer.flags) == ("Red", ("too_short", "cut_off"))


async def test_checks_see_what_the_model_said_and_polish_comes_after():
    short = Check(check="too_short", words=5)
    stage = Stage(
        name="a",
        model="m",
        prompts=("?",),
        quality=(short,),
        postprocess=("strip_openings", "full_stop"),
    )

    answer = await climbed(FailingModel("This image shows a cat"), stage)

    assert (answer.text, answer.tries) == ("A cat.", 1)


async def test_answer_with_a_form_is_read_and_not_polished():
    stage = Stage(
        name="a",
        model="m",
        prompts=("?",),
        structured_outputs=StructuredOutputs(choice=("red", "blue")),
        postprocess=("full_stop",),
    )

    answer = await climbed(FailingModel("red"), stage, lambda form, text: {form.name: text})

    assert (answer.text, answer.fields) == ("red", {"a": "red"})


def sampled(check: Check, **sampling: Any) -> Stage:
    return Stage(
        name="a", model="m", prompts=("?",), quality=(check,), sampling=Sampling(**sampling)
    )


async def test_what_would_give_the_same_answer_again_is_not_asked():
    """At temperature 0 only another prompt or sampling makes another answer."""
    ladder = (SamplingChange(temperature=0.0), SamplingChange(temperature=0.7))
    stuck, moved = FailingModel(""), FailingModel("")

    await climbed(stuck, sampled(Check(check="empty", retries=3), temperature=0.0))
    check = Check(check="empty", retries=3, retry_sampling=ladder)
    await climbed(moved, sampled(check, temperature=0.0))

    assert len(stuck.asked) == 1
    assert [s.temperature for _, s in moved.asked] == [0.0, 0.7, 0.7]


async def test_second_try_has_another_seed():
    model = FailingModel("")

    await climbed(model, sampled(Check(check="empty", retries=3), extra={"seed": 7}))

    seeds = [s.extra["seed"] for _, s in model.asked]
    assert seeds[0] == 7
    assert len(set(seeds)) == 4


async def test_seed_of_a_rung_is_as_written():
    ladder = (SamplingChange(extra={"seed": 1}),)
    model = FailingModel("")

    check = Check(check="empty", retry_sampling=ladder)
    await climbed(model, sampled(check, extra={"seed": 7}))

    assert [s.extra["seed"] for _, s in model.asked] == [7, 1]


async def test_failure_of_the_engine_ends_the_ladder():
    class Broken(FailingModel):
        async def ask(self, stage: Stage, prompt: str) -> Output:
            if self.asked:
                raise EngineFailed("It made no sense of this one.")
            return await super().ask(stage, prompt)

    with pytest.raises(EngineFailed):
        await climbed(Broken(""))
