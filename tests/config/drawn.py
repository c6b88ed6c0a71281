"""Documents of jobs as hypothesis draws them: all that may be written, in few and short words."""

from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(st.from_regex(r"\A[qxz]{3,8}\Z"), json, max_size=3)
names = st.from_regex(r"\A[a-z]{1,5}\Z")
sampling = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 5),
        "top_p": st.floats(0.01, 1),
        "max_tokens": st.integers(1, 10**6),
        "stop": st.lists(texts, max_size=3),
        "xqzw": json,
    },
)
prose = st.text(st.characters(codec="utf-8", exclude_characters="{}"), max_size=8)
prompts = st.lists(prose, min_size=1, max_size=3)
one_prompt = st.lists(prose, min_size=1, max_size=1)  # as a form with fields wants it
words = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=5)
forms = st.one_of(
    st.fixed_dictionaries({"choice": st.lists(words, min_size=2, max_size=3, unique=True)}),
    st.fixed_dictionaries({"regex": st.just("[a-z]+")}),
    st.fixed_dictionaries({"grammar": st.just('root ::= "a" | "b"')}),
    st.dictionaries(
        st.from_regex(r"\Aseen_[a-z]{1,3}\Z"),
        st.sampled_from([{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]),
        max_size=3,
    ).map(lambda named: {"json": {"type": "object", "properties": named}}),
)
ladder = {
    "retry_sampling": st.lists(sampling, max_size=3),
    "retry_prompt": words,
    "then": st.sampled_from(["keep", "flag", "reject"]),
}
parameters: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "empty": {},
    "too_short": {"words": st.integers(1, 9)},
    "too_long": {"characters": st.integers(1, 9)},
    "banned_words": {"banned": st.lists(words, min_size=1, max_size=3)},
    "language": {"languages": st.just(["en", "de"])},
}
checks = st.lists(st.sampled_from(sorted(parameters)), max_size=3, unique=True).flatmap(
    lambda chosen: st.tuples(
        *(
            st.fixed_dictionaries(
                {"check": st.just(name), "retries": st.just(3)} | parameters[name], optional=ladder
            )
            for name in chosen
        )
    ).map(list)
)
polish = st.sampled_from([[], ["trim"], ["strip_openings", "collapse_whitespace", "full_stop"]])
asked = {
    "sampling": sampling,
    "system_prompt": prose,
    "structured_outputs": forms,
    "quality": checks,
    "postprocess": polish,
}
# Together, forms and fields of stages have names of columns, which may clash.
of_stage = {name: value for name, value in asked.items() if name != "structured_outputs"}
stages = st.lists(
    st.fixed_dictionaries(
        {"name": names, "prompts": prompts},
        optional=of_stage
        | {
            "model": names,
            "output_field": st.sampled_from(["captions", "seen", "short"]),
            "image": st.booleans(),
            "zzzz": json,
        },
    ),
    max_size=3,
    unique_by=lambda stage: stage["name"],
)
endpoints = st.lists(
    st.fixed_dictionaries(
        {"base_url": st.just("http://gpu:8000/v1")},
        optional={
            "api_key_env": st.just("OUR_API_KEY"),
            "model": names,
            "headers": st.dictionaries(st.just("X-Part"), st.from_regex(r"\A[a-z]{1,9}\Z")),
            "extra_body": arguments,
            "requests_per_minute": st.integers(1, 10**6),
            "timeout": st.floats(0.1, 1e6),
        },
    ),
    min_size=1,
    max_size=3,
)
jobs = st.fixed_dictionaries(
    {},
    optional={
        "job": names,
        "port": st.integers(0, 65535),
        "lease_seconds": st.floats(0.1, 1e6),
        "engine": st.sampled_from(["vllm", "openai", "simulated"]),
        "budget": st.fixed_dictionaries({"bytes": st.integers(1, 2**60)}),
        "simulated": st.fixed_dictionaries(
            {"latency": st.just([0, 1.5]), "seed": st.integers(0, 9)}
        ),
        "vllm": st.builds(
            lambda known, rest: rest | known,
            st.fixed_dictionaries(
                {"model": names}, optional={"inference_prompts": one_prompt} | asked
            )
            | st.fixed_dictionaries(
                {"model": names}, optional={"stages": stages, "sampling": sampling}
            ),
            arguments,
        ),
        "openai": st.fixed_dictionaries({"endpoints": endpoints}),
        "auth": st.fixed_dictionaries({"worker_tokens": st.just([{"name": "a", "token": "b"}])}),
    },
)
