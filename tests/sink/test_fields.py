"""Sinks: fields of answers in the parts, also of a job that the version before began."""

from typing import Any

import msgspec
import pyarrow.parquet as pq

from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage
from caption_flow.dataset.columns import ColumnSchema
from tests.made import jpeg, outcome, settings
from tests.roles import Roles, ends

FORM = StructuredOutputs(
    json={"type": "object", "properties": {"shape": {"type": "string"}, "n": {"type": "integer"}}}
)
OLD = b'{"columns":{},"outputs":["captions"]}'


def structured() -> Any:
    stage = Stage(name="caption", model="", prompts=("?",), structured_outputs=FORM)
    return msgspec.structs.replace(settings(), stages=(stage,))


async def finish(roles: Roles, numbers: range) -> None:
    """Caption samples with answers of the form."""
    await roles.offer([jpeg(n) for n in numbers], first=numbers[0])
    queue = await roles.work_queue()
    done = []
    for _ in numbers:
        [lease] = await queue.claim(1)
        n = int(lease.sample.id[:5])
        told = outcome({"captions": [f'{{"shape":"s{n}","n":{n}}}']}, number=n)
        fields = {"shape": f"s{n}", "n": n}
        told = msgspec.structs.replace(told, fields=fields, flags=("echo",), tries=3)
        done.append((lease, (told,)))
    assert sum(await queue.complete(done)) == len(numbers)


async def test_fields_of_an_answer_are_columns_of_its_row(roles: Roles):
    roles.told = structured()
    await finish(roles, range(5))

    await ends(roles.sink().run())

    found = [(row["shape"], row["n"], row["captions"]) for row in roles.rows()]
    assert sorted(found) == [(f"s{n}", n, [f'{{"shape":"s{n}","n":{n}}}']) for n in range(5)]
    assert {(*row["quality_flags"], row["attempts"]) for row in roles.rows()} == {
        ("caption:echo", 3)
    }


async def test_job_that_the_version_before_began_goes_on_with_its_columns(roles: Roles):
    roles.told = structured()
    await roles.caption_queue().agree(OLD)
    await finish(roles, range(3))

    await ends(roles.sink(rows=2).run())

    schemas = [pq.read_schema(roles.folder.file(part)) for part in roles.folder.published()]
    assert len(schemas) == 2
    assert schemas[0].equals(schemas[1])
    assert "quality_flags" not in schemas[0].names
    extras = [msgspec.json.decode(row["extra"]) for row in roles.rows()]
    assert sorted(extras, key=lambda extra: extra["field_n"]) == [
        {
            "field_shape": f"s{n}",
            "field_n": n,
            "quality_flags": ["caption:echo"],
            "attempts": 3,
        }
        for n in range(3)
    ]


async def test_part_of_the_version_before_tells_its_columns_to_an_emptied_redis(roles: Roles):
    roles.told = structured()
    old = roles.folder.open(ColumnSchema.decode(OLD))
    old.prepare()
    old.publish()
    await finish(roles, range(2))

    await ends(roles.sink().run())

    names = {
        tuple(pq.read_schema(roles.folder.file(part)).names) for part in roles.folder.published()
    }
    assert len(names) == 1
