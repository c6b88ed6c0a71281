"""Whatever a server sends is an output within bounds, or trouble that can be shown."""

import json
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from caption_flow.engine.openai.answer import read_models, read_output
from caption_flow.engine.openai.line import Reply
from caption_flow.engine.openai.trouble import Trouble
from caption_flow.engine.port import Output
from caption_flow.fetch.answers import Answer

KEY = "sk-0123456789"

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "choices",
                        "message",
                        "content",
                        "refusal",
                        "finish_reason",
                        "usage",
                        "model",
                    ),
                    *("prompt_tokens", "completion_tokens", "error", "detail", "data", "id"),
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
near_it = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": anything}), min_size=1, max_size=2)},
    optional={"model": anything, "usage": anything},
)
bodies = st.binary() | (anything | near_it).map(lambda tree: json.dumps(tree).encode())
statuses = st.sampled_from([200, 200, 200, 204, 302, 400, 401, 429, 500, 503, 599])
headers = st.dictionaries(
    st.sampled_from([b"content-type", b"retry-after", b"location"]),
    st.sampled_from([b"application/json", b"5", b"\xff\x00", b"Wed, 99 Foo 2030", b""]),
)


@given(status=statuses, headers=headers, body=bodies)
@example(200, {b"content-type": b"application/json"}, b'{"choices": [{"message": {}}]}')
@example(400, {}, b"\0" * 2000 + KEY.encode())
def test_no_answer_is_a_surprise(status: int, headers: dict[bytes, bytes], body: bytes):
    reply = Reply(Answer(status, headers.items()), body)
    for read in (read_output, read_models):
        found = made(read, reply)
        if isinstance(found, Trouble):
            assert KEY not in str(found)
            assert len(str(found)) < 1000
            assert not any(ord(letter) < 32 for letter in str(found))
        if isinstance(found, Output):
            assert 0 <= found.prompt_tokens < 2**31
            assert 0 <= found.output_tokens < 2**31
            assert len(found.model) <= 200


def made(read: Callable[[Reply, str], object], reply: Reply) -> object:
    try:
        return read(reply, KEY)
    except Trouble as exc:
        return exc
