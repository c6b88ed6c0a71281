"""What the stages become: an order, and nothing left to look up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caption_flow.config import JobConfig, Sampling, StageConfig, VllmConfig, load_job
from caption_flow.config.sampling import SamplingChange
from caption_flow.errors import ConfigError
from tests.config.conftest import Write


def stage(name: str, *requires: str) -> StageConfig:
    return StageConfig(name=name, prompts=("?",), requires=requires)


def names(*stages: StageConfig) -> list[str]:
    return [found.name for found in VllmConfig(stages=stages).resolved_stages()]


def test_without_stages_there_is_one_called_caption():
    [only] = VllmConfig(model="m", inference_prompts=("a", "b")).resolved_stages()

    found = (only.name, only.model, only.prompts, only.output_field)
    assert found == ("caption", "m", ("a", "b"), "captions")


def test_single_stage_has_sampling_arguments_and_system_prompt_of_the_section():
    sampling = Sampling(temperature=0.1)
    section = VllmConfig(sampling=sampling, engine_args={"dtype": "half"}, system_prompt="s")

    [only] = section.resolved_stages()

    found = (only.sampling, only.engine_args, only.system_prompt)
    assert found == (sampling, {"dtype": "half"}, "s")


def test_stages_run_as_written_where_nothing_is_required():
    assert names(stage("c"), stage("a"), stage("b")) == ["c", "a", "b"]


def test_stage_runs_after_what_it_requires():
    assert names(stage("a", "c"), stage("b"), stage("c")) == ["b", "c", "a"]


@given(st.data())
def test_order_keeps_all_requirements(data: st.DataObject):
    ranked = [f"s{n}" for n in range(data.draw(st.integers(1, 8)))]
    stages = [
        stage(name, *data.draw(st.sets(st.sampled_from(ranked[:rank])) if rank else st.just(())))
        for rank, name in enumerate(ranked)
    ]
    written = data.draw(st.permutations(stages))

    order = names(*written)

    assert sorted(order) == sorted(ranked)
    for each in stages:
        assert all(order.index(need) < order.index(each.name) for need in each.requires)


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([stage("a", "a")], "stages require each other in a circle: a → a"),
        (
            [stage("x"), stage("a", "b"), stage("b", "c"), stage("c", "x", "a"), stage("d", "c")],
            "stages require each other in a circle: a → b → c → a",
        ),
        (
            [stage("caption"), stage("detail", "captoin")],
            'stages[1] ("detail") requires "captoin", which is no stage; did you mean "caption"?',
        ),
        ([stage("a", "zzz")], 'stages[0] ("a") requires "zzz", which is no stage'),
        ([stage("a"), stage("a")], 'stages[1].name is "a", like stages[0].name'),
    ],
)
def test_stages_without_an_order_are_refused(stages: list[StageConfig], told: str):
    with pytest.raises(ConfigError) as refused:
        VllmConfig(stages=tuple(stages))

    assert str(refused.value) == told


def test_stage_overrides_the_section_key_by_key():
    own = SamplingChange(temperature=0.0, extra={"seed": 1})
    section = VllmConfig(
        model="big",
        system_prompt="s",
        sampling=Sampling(temperature=0.9, top_p=0.5, extra={"seed": 0, "top_k": 3}),
        engine_args={"dtype": "half", "max_model_len": 10},
        stages=(
            StageConfig(
                name="a",
                prompts=("?",),
                model="small",
                system_prompt="",
                sampling=own,
                engine_args={"max_model_len": 20},
            ),
        ),
    )

    [found] = section.resolved_stages()

    assert (found.model, found.system_prompt) == ("small", "")
    assert found.sampling == Sampling(temperature=0.0, top_p=0.5, extra={"seed": 1, "top_k": 3})
    assert found.engine_args == {"dtype": "half", "max_model_len": 20}


def test_real_engine_needs_a_model():
    with pytest.raises(ConfigError, match=r"^vllm\.model is missing"):
        JobConfig().stages()


def test_simulated_engine_needs_no_model():
    [only] = JobConfig(engine="simulated").stages()

    assert only.model == ""


def test_models_of_the_stages_are_enough():
    own = StageConfig(name="a", prompts=("?",), model="m")

    [only] = JobConfig(vllm=VllmConfig(stages=(own,))).stages()

    assert only.model == "m"


def test_unknown_sampling_parameter_of_a_stage_is_kept(write: Write):
    path = write("vllm: {stages: [{name: a, prompts: '?', sampling: {top_k: 5}, dtype: half}]}")

    [only] = load_job("feed", path).config.vllm.resolved_stages()

    assert (only.sampling.extra, only.engine_args) == ({"top_k": 5}, {"dtype": "half"})
