"""Sampling of single samples: said on a command line, checked there and where it is followed."""

import pytest
from msgspec import UNSET

from caption_flow.config.resampling import resampled, sampling_keys
from caption_flow.config.sampling import Sampling
from caption_flow.config.vllm import Stage
from caption_flow.errors import BadImage, ConfigError

STAGE = Stage("caption", "model", ("Describe.",), sampling=Sampling(top_p=0.5, extra={"seed": 1}))


@pytest.mark.parametrize(
    ("said", "keys"),
    [
        ({"temperature": "0.8"}, {"temperature": 0.8}),
        ({"max_tokens": "64", "top_k": "20"}, {"max_tokens": 64, "top_k": 20}),
        ({"stop": "END"}, {"stop": "END"}),
        ({"stop": '["a", "b"]'}, {"stop": ["a", "b"]}),
        ({"skip_special_tokens": "false"}, {"skip_special_tokens": False}),
        ({"vllm.sampling.temperature": "0"}, {"temperature": 0}),
        ({}, UNSET),
    ],
)
def test_keys_are_read_as_in_a_document(said: dict[str, str], keys: object):
    assert sampling_keys(said) == keys


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"temprature": "1"}, '--set has no field "temprature"; did you mean "temperature"?'),
        ({"temperature": "hot"}, '--set temperature is "hot"; expected a number, 0 or more'),
        ({"top_p": "3"}, "--set top_p is 3; expected a number above 0, at most 1"),
        ({"max_tokens": ""}, "--set max_tokens is empty; expected a whole number, 1 or more"),
        ({"storage.data_dir": "x"}, "--set storage.data_dir is no sampling parameter"),
        ({"top_k": ".nan"}, "--set top_k is nan; expected a finite number"),
    ],
)
def test_mistake_is_told_in_the_words_of_a_document(said: dict[str, str], sentence: str):
    with pytest.raises(ConfigError) as caught:
        sampling_keys(said)

    assert str(caught.value) == sentence


def test_all_mistakes_are_told():
    with pytest.raises(ConfigError) as caught:
        sampling_keys({"temperature": "-1", "top_p": "x"})

    assert len(str(caught.value).splitlines()) == 2


def test_stage_is_as_it_is_where_nothing_is_said():
    assert resampled(STAGE, UNSET) is STAGE


def test_what_is_said_holds_over_the_stage_key_by_key():
    stage = resampled(STAGE, {"temperature": 0.1, "stop": "END", "top_k": 20})

    assert stage.sampling == Sampling(
        temperature=0.1, top_p=0.5, stop=("END",), extra={"seed": 1, "top_k": 20}
    )
    assert (stage.name, stage.prompts) == (STAGE.name, STAGE.prompts)


def test_what_cannot_be_read_is_the_samples_own_fault():
    """It may be by a newer version, or by hand."""
    with pytest.raises(BadImage) as caught:
        resampled(STAGE, {"temperature": "hot"})

    assert caught.value.reason == "bad_sampling"
    assert caught.value.detail == 'sampling.temperature is "hot"; expected a number, 0 or more'
