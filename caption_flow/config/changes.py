"""What differs between two settings documents of a job, and what that asks of its workers.

`reload_config` shows it before it publishes, and workers go by it when a new version comes: most of
it they take for the next sample, some needs an engine loaded anew, some a worker made anew around
the engine it has.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from caption_flow.config.broadcast import Broadcast
from caption_flow.config.structured import StructuredOutputs
from caption_flow.config.vllm import Stage

Needs: TypeAlias = Literal["nothing", "engine", "worker"]

# What a change of each field asks for. Of "engine" only where an engine comes out that is not
# loaded: that of a stage may be loaded for another stage, and some fields are for other engines.
_FIELDS: Mapping[str, Needs] = {
    "engine": "engine",
    "stages": "nothing",
    "batch_size": "engine",
    "openai": "engine",
    "simulated": "engine",
    "images": "nothing",
    "download": "worker",
    "max_file_size": "worker",
    "lease_seconds": "worker",
    "max_attempts": "nothing",
    "engine_timeout": "worker",
    "lanes": "worker",
}
_FIELDS_OF_A_STAGE: Mapping[str, Needs] = {
    "prompts": "nothing",
    "model": "engine",
    "output_field": "nothing",
    "requires": "nothing",
    "system_prompt": "nothing",
    "image": "engine",
    "structured_outputs": "nothing",
    "quality": "nothing",
    "postprocess": "nothing",
    "sampling": "nothing",
    "engine_args": "engine",
}
_OWN_SECTIONS = frozenset({"openai", "simulated"})  # each of the engine of that name


class Change(Struct, frozen=True):
    """One value that is another. UNSET stands for what is not there at all."""

    path: str  # as in stages[caption].sampling.temperature
    before: Any
    after: Any
    needs: Needs


def changes(before: Broadcast, after: Broadcast) -> list[Change]:
    """Find what differs; nothing if and only if both are written the same."""
    found: list[Change] = []
    for field in before.__struct_fields__:
        old, new = getattr(before, field), getattr(after, field)
        if field == "stages":
            found += _of_stages(before, after)
        else:
            needs = _FIELDS[field]
            if field in _OWN_SECTIONS and field != after.engine:
                needs = "nothing"
            found += [Change(*where, needs) for where in _differences(field, old, new)]
    return found


def engine_key(settings: Broadcast, stage: Stage) -> bytes:
    """Tell the engine of a stage from others: stages of equal keys share one.

    Of documents too: an engine that is loaded serves on where its key comes up again.
    """
    together = [other for other in settings.stages if _model(other) == _model(stage)]
    shown = settings.engine == "vllm" and any(other.image for other in together)
    section = getattr(settings, settings.engine) if settings.engine in _OWN_SECTIONS else None
    return _written([settings.engine, settings.batch_size, section, *_model_of(stage), shown])


def _of_stages(before: Broadcast, after: Broadcast) -> Iterator[Change]:
    old = {stage.name: stage for stage in before.stages}
    new = {stage.name: stage for stage in after.stages}
    loaded = {engine_key(before, stage) for stage in before.stages}
    for name, stage in old.items():
        if name not in new:
            # Those that shared its engine may be left with one that is shown no images.
            sharing = [other for other in after.stages if _model(other) == _model(stage)]
            needs = _needs_of(after, sharing, loaded)
            yield Change(f"stages[{name}]", stage, UNSET, needs)
    for name, stage in new.items():
        needs = _needs_of(after, [stage], loaded)
        if name not in old:
            yield Change(f"stages[{name}]", UNSET, stage, needs)
            continue
        for field in stage.__struct_fields__:
            path = f"stages[{name}].{field}"
            for where in _differences(path, getattr(old[name], field), getattr(stage, field)):
                asked = _FIELDS_OF_A_STAGE[field]
                yield Change(*where, needs if asked == "engine" else asked)
    yield from _of_order(list(old), list(new))


def _of_order(old: list[str], new: list[str]) -> Iterator[Change]:
    stayed = [name for name in old if name in new]
    if stayed != [name for name in new if name in old]:
        yield Change("stages", old, new, "nothing")


def _needs_of(after: Broadcast, stages: list[Stage], loaded: set[bytes]) -> Needs:
    return "engine" if any(engine_key(after, s) not in loaded for s in stages) else "nothing"


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, before and after of each value that differs, as deep down as it can be named."""
    if _written(old) == _written(new):
        if isinstance(old, StructuredOutputs) and _schema(old) != _schema(new):
            yield f"{path}.json", old.json, new.json
        return
    if isinstance(old, Struct) and type(old) is type(new):
        for field in old.__struct_fields__:
            yield from _differences(f"{path}.{field}", getattr(old, field), getattr(new, field))
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(f"{path}.{key}", old.get(key, UNSET), new.get(key, UNSET))
    elif _is_row_of_structs(old, new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    else:
        yield path, old, new


def _schema(form: StructuredOutputs) -> bytes:
    """Write a schema in its own order, which is that of answers."""
    return msgspec.json.encode(form.json)


def _is_row_of_structs(old: Any, new: Any) -> bool:
    """Whether these are tuples whose items answer to each other."""
    if not (isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new)):
        return False
    return all(isinstance(item, Struct) for item in (*old, *new))


def _model(stage: Stage) -> bytes:
    return _written(_model_of(stage))


def _model_of(stage: Stage) -> list[Any]:
    return [stage.model, stage.engine_args]


def _written(value: Any) -> bytes:
    """Write a value as it stands in the document, where 1, 1.0 and true are three things."""
    return b"" if value is UNSET else msgspec.json.encode(value, order="sorted")
