"""Changes: two documents compared, value by value, and what each difference asks of workers."""

from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Struct
from msgspec.structs import force_setattr, replace

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.changes import Change, Needs, changes, engine_key
from caption_flow.config.openai import Endpoint, OpenaiConfig
from caption_flow.config.quality import Check
from caption_flow.config.sampling import Sampling
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from tests import made

LOOK = Stage(
    "look",
    "m",
    ("What is it?",),
    engine_args={"max_model_len": 4096},
    structured_outputs=StructuredOutputs(regex="a+"),
    quality=(Check(check="empty"),),
)
TELL = Stage("tell", "n", ("Shorter.",), requires=("look",), image=False)
ENDPOINTS = (Endpoint(base_url="http://a/v1"), Endpoint(base_url="http://b/v1"))


def told(*stages: Stage, **fields: Any) -> Broadcast:
    full = {"engine": "vllm", "openai": OpenaiConfig(endpoints=ENDPOINTS), **fields}
    return made.settings(**{**full, "stages": stages or (LOOK, TELL)})


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document that has a name, with a document's path."""
    if isinstance(value, Struct):
        for field in value.__struct_fields__:
            yield from leaves(getattr(value, field), f"{path}.{field}" if path else field)
    elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
        for index, item in enumerate(value):
            key = item.name if isinstance(item, Stage) else index
            yield from leaves(item, f"{path}[{key}]")
    elif not path.endswith("].name"):  # a stage of another name is another stage
        yield path, value


def changed(value: Any, path: str, other: Any, at: str = "") -> Any:
    """The document with another value at one path."""
    if at == path:
        return other
    if isinstance(value, Struct):
        made = copy(value)  # unchecked: here it is no matter what goes together
        for field in value.__struct_fields__:
            step = f"{at}.{field}" if at else field
            force_setattr(made, field, changed(getattr(value, field), path, other, step))
        return made
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        keys = [item.name if isinstance(item, Stage) else n for n, item in enumerate(value)]
        pairs = zip(keys, value, strict=True)
        return tuple(changed(item, path, other, f"{at}[{key}]") for key, item in pairs)
    return value


def another(value: Any) -> Any:
    """A value of the same kind that is written differently."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, "x")
        case dict():
            return {**value, "xqz": 1}
        case _:
            return "x"


PATHS = [path for path, _ in leaves(told())]


@pytest.mark.parametrize("path", PATHS)
def test_a_change_of_any_one_value_is_reported_by_its_path(path: str):
    """The fields are walked, so that a new one cannot be forgotten."""
    before, old = told(), dict(leaves(told()))[path]
    new = another(old)

    [found] = changes(before, changed(before, path, new))

    key = ".xqz" if isinstance(old, dict) else ""
    assert found.path == path + key
    assert (found.before, found.after) == ((UNSET, 1) if key else (old, new))


values = st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2) | st.text(max_size=1)
arguments = st.dictionaries(st.sampled_from("abc"), values | st.lists(values, max_size=2))
stages = st.builds(
    Stage,
    name=st.sampled_from("xyz"),
    model=st.sampled_from("mn"),
    prompts=st.tuples(st.sampled_from("pq")),
    image=st.booleans(),
    quality=st.sampled_from([(), (Check(check="empty"),), (Check(check="echo"),)]),
    engine_args=arguments,
)
documents = st.lists(stages, min_size=1, max_size=3, unique_by=lambda stage: stage.name).flatmap(
    lambda some: st.sampled_from(["vllm", "simulated"]).map(lambda kind: told(*some, engine=kind))
)


@settings(deadline=None)
@given(before=documents, after=documents)
def test_nothing_differs_exactly_where_the_documents_are_the_same(
    before: Broadcast, after: Broadcast
):
    assert (changes(before, after) == []) == (before.encode() == after.encode())


@settings(deadline=None)
@given(before=documents, after=documents)
def test_an_engine_is_asked_for_exactly_where_one_comes_that_is_not_loaded(
    before: Broadcast, after: Broadcast
):
    loaded = {engine_key(before, stage) for stage in before.stages}
    wanted = {engine_key(after, stage) for stage in after.stages}

    asked = "engine" in {change.needs for change in changes(before, after)}

    assert asked == (not wanted <= loaded)


def need(before: Broadcast, after: Broadcast) -> Needs:
    """What the one change asks for."""
    [found] = changes(before, after)
    return found.needs


ANYTIME = {
    "prompts": ("Else?",),
    "system_prompt": "Be brief.",
    "sampling": Sampling(temperature=0.1),
    "quality": (),
    "postprocess": ("trim",),
    "structured_outputs": None,
    "output_field": "words",
    "requires": ("tell",),
}


@pytest.mark.parametrize("field", ANYTIME)
def test_workers_take_it_for_the_next_sample(field: str):
    assert need(told(), told(replace(LOOK, **{field: ANYTIME[field]}), TELL)) == "nothing"


def test_images_and_attempts_are_taken_for_the_next_sample():
    assert need(told(), told(max_attempts=9)) == "nothing"
    assert need(told(), told(images=replace(told().images, max_side=9))) == "nothing"


@pytest.mark.parametrize("field", ["lease_seconds", "engine_timeout", "max_file_size"])
def test_a_worker_is_made_anew(field: str):
    assert need(told(), told(**{field: 7})) == "worker"


def test_batch_size_and_engine_ask_for_an_engine():
    assert need(told(), told(batch_size=9)) == "engine"
    assert need(told(), told(engine="openai")) == "engine"


def test_a_section_of_another_engine_asks_for_nothing():
    slower = replace(told().simulated, latency=(1.0, 1.0))

    assert need(told(), told(simulated=slower)) == "nothing"
    assert need(told(engine="simulated"), told(engine="simulated", simulated=slower)) == "engine"
    assert need(told(), told(openai=OpenaiConfig())) == "nothing"


def test_another_model_asks_for_an_engine():
    assert need(told(), told(replace(LOOK, model="o"), TELL)) == "engine"


def test_a_model_that_another_stage_has_loaded_asks_for_nothing():
    third = replace(LOOK, name="third", model="n", engine_args={}, image=False)
    moved = replace(third, model="m", engine_args=dict(LOOK.engine_args))

    found = changes(told(LOOK, TELL, third), told(LOOK, TELL, moved))

    assert {change.needs for change in found} == {"nothing"}


def test_a_stage_comes_and_goes_without_a_load_where_its_model_stays():
    more = replace(LOOK, name="more")

    assert changes(told(), told(LOOK, TELL, more)) == [
        Change("stages[more]", UNSET, more, "nothing")
    ]
    assert changes(told(LOOK, TELL, more), told()) == [
        Change("stages[more]", more, UNSET, "nothing")
    ]


def test_a_stage_of_a_model_that_is_not_loaded_asks_for_an_engine():
    assert need(told(LOOK), told(LOOK, TELL)) == "engine"


def test_stages_in_another_order_are_one_change():
    other = replace(TELL, requires=())

    assert changes(told(LOOK, other), told(other, LOOK)) == [
        Change("stages", ["look", "tell"], ["tell", "look"], "nothing")
    ]


def test_a_model_that_is_shown_images_first_or_no_more_asks_for_an_engine():
    """Its engine keeps room for them."""
    showing = replace(TELL, name="show", image=True)

    assert need(told(), told(LOOK, replace(TELL, image=True))) == "engine"
    assert need(told(LOOK, TELL), told(LOOK, TELL, showing)) == "engine"
    assert need(told(LOOK, TELL, showing), told(LOOK, TELL)) == "engine"
    assert need(
        told(LOOK, replace(LOOK, name="b")), told(LOOK, replace(LOOK, name="b", image=False))
    ) == ("nothing")


def test_stages_of_one_model_and_its_arguments_share_an_engine():
    settings = told(LOOK, replace(LOOK, name="b", prompts=("Else?",), image=False), TELL)
    first, second, third = (engine_key(settings, stage) for stage in settings.stages)

    assert first == second != third


def test_properties_of_a_form_in_another_order_are_a_change():
    kinds = {"why": {"type": "string"}, "shape": {"type": "string"}}
    turned = dict(reversed(kinds.items()))
    before, after = (
        told(replace(LOOK, structured_outputs=StructuredOutputs(json={"properties": properties})))
        for properties in (kinds, turned)
    )

    assert [(c.path, c.needs) for c in changes(before, after)] == [
        ("stages[look].structured_outputs.json", "nothing")
    ]
