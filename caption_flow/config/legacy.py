"""The keys of older documents: taken, renamed, left out or refused, each with its reason.

Works on plain data before it is checked, one document or variable at a time, so that a new
name in a later layer still wins over an old name in an earlier one.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from caption_flow.config import response_format
from caption_flow.config.modern import Modern, Tree
from caption_flow.config.schema import Kind
from caption_flow.config.unsaid import take_out
from caption_flow.config.words import Mistake, Steps, near

_LEASES = "leases and budgets decide how much is handed out"
_LEASED = "the lease of a worker that is gone ends by itself"
_LABEL = 'it was a label; a branch, tag or commit of a repository is its "revision"'
_PIXELS = "pixels travel through Redis or the proxy"
_STATE = "Redis and the finished parts are the state"
_TUNES = "a worker tunes its queues itself"
_STREAMED = "shards are streamed, and the budget bounds what is held"
_TRUST = "only a worker's own operator can say so: pass --trust-remote-code at the worker"
_PANES = "the monitor has no such pane"

IGNORED: dict[Kind, dict[str, str]] = {
    "job": {
        "chunks_per_request": _LEASES,
        "chunk_buffer_multiplier": _LEASES,
        "min_chunk_buffer": _LEASES,
        "backpressure_threshold": _LEASES,
        "websocket_ping_interval": _LEASED,
        "websocket_ping_timeout": _LEASED,
        "cache_dir": _STREAMED,
        "shard_cache_gb": _STREAMED,
        "buffer_size": _STREAMED,
        "dataset.version": _LABEL,
        "dataset.http_bind_address": _PIXELS,
        "dataset.http_port": _PIXELS,
        "dataset.public_address": _PIXELS,
        "dataset.local_storage_path": _PIXELS,
        "dataset.metadata_path": "the planner reads the shards themselves",
        "dataset.shard_cache_gb": _STREAMED,
        "dataset.buffer_size": _STREAMED,
        "dataset.split_worker_cache": _STREAMED,
        "storage.checkpoint_interval": _STATE,
        "storage.checkpoint_dir": _STATE,
        "storage.job_buffer_size": _STATE,
        "storage.contributor_buffer_size": _STATE,
        "vllm.trust_remote_code": _TRUST,
        "vllm.stages[].trust_remote_code": _TRUST,
    },
    "worker": {
        "readahead_size": _TUNES,
        "inference_queue_size": _TUNES,
        "batch_image_processing": _TUNES,
    },
    "monitor": {},
}

REFUSED: dict[Kind, dict[str, str]] = {
    "job": {
        "dataset.mock_results": 'for captions without a model, set "engine: simulated"',
        "vllm.mock_results": 'for captions without a model, set "engine: simulated"',
    },
    "worker": {},
    "monitor": {},
}


class Renamed(Struct, frozen=True):
    """An old name; the new one wins where both are given, unless `wins`."""

    old: str
    new: str
    wins: bool = False
    spoken: bool = False  # with a warning; without, both names are equally good
    value: Callable[[Any], Any] = lambda value: value  # None: nothing to say under the new name


RENAMED: dict[Kind, tuple[Renamed, ...]] = {
    "job": (
        Renamed("ssl.cert", "cert"),
        Renamed("ssl.key", "key"),
        Renamed("dataset.dataset_split", "dataset.split"),
        Renamed("dataset.path", "dataset.dataset_path", spoken=True),
        Renamed("dataset.processor_type", "dataset.type", wins=True),
        Renamed("storage.caption_buffer_size", "storage.rows_per_part", spoken=True),
        *(
            Renamed(
                f"{section}.disable_mm_preprocessor_cache",
                f"{section}.mm_processor_cache_gb",
                spoken=True,
                value=lambda value: 0 if value is True else None if value is False else value,
            )
            for section in ("vllm", "vllm.stages[]")
        ),
    ),
    "worker": (Renamed("vllm.trust_remote_code", "trust_remote_code"),),
    "monitor": (),
}

SOURCES = {
    "local": "folder",
    "local_filesystem": "folder",
    "huggingface_datasets": "huggingface",
    "huggingface_webdataset": "webdataset",
}


_SAMPLING = ("vllm.sampling", "vllm.stages[].sampling")


def modernise(kind: Kind, tree: Tree) -> Modern:
    """Bring a document into today's names."""
    modern = Modern(tree=_copied(tree), warnings=[], mistakes=[], written={})
    for path, reason in REFUSED[kind].items():
        _refuse(modern, path, reason)
    for path, reason in IGNORED[kind].items():
        _ignore(modern, path, reason)
    for renamed in RENAMED[kind]:
        _rename(modern, renamed)
    _SPECIAL[kind](modern)
    return modern


def spellings(kind: Kind) -> list[str]:
    """Return all old names, as dotted paths."""
    renamed = [entry.old for entry in RENAMED[kind]]
    moved = [f"{holder}.{name}" for holder in _SAMPLING for name in response_format.IN_SAMPLING]
    return [*IGNORED[kind], *REFUSED[kind], *renamed, *(moved if kind == "job" else ())]


def _copied(node: Any) -> Any:
    """Copy a tree; what an alias shares becomes one's own, so that it can be changed alone."""
    if isinstance(node, dict):
        return {name: _copied(item) for name, item in node.items()}
    return [_copied(item) for item in node] if isinstance(node, list) else node


def _refuse(modern: Modern, path: str, reason: str) -> None:
    for holder, steps in holders(modern.tree, path):
        if holder.pop(steps[-1]) not in (False, None):
            modern.mistakes.append(Mistake(steps, f"is not taken any more; {reason}"))


def _ignore(modern: Modern, path: str, reason: str) -> None:
    for holder, steps in holders(modern.tree, path):
        del holder[steps[-1]]
        modern.warnings.append((steps, f"is left out: {reason}"))


def _rename(modern: Modern, renamed: Renamed) -> None:
    name = renamed.new.rpartition(".")[2]
    up = renamed.old.count(".") - renamed.new.count(".")
    for holder, steps in holders(modern.tree, renamed.old):
        new = (*steps[: -1 - up], name)
        if renamed.spoken:
            modern.warnings.append((steps, f'is called "{name}" today and taken as that'))
        value = renamed.value(holder.pop(steps[-1]))
        target = modern.tree if up else holder
        if value is not None and (renamed.wins or name not in target):
            target[name] = value
            modern.written[new] = steps


def holders(tree: Any, path: str) -> Iterator[tuple[Tree, Steps]]:
    """Find the mappings in which the last name of the path stands, `[]` being any item."""
    yield from _below(tree, path.split("."), ())


def _below(node: Any, names: list[str], steps: Steps) -> Iterator[tuple[Tree, Steps]]:
    name, *rest = names
    key = name.removesuffix("[]")
    if not isinstance(node, dict) or key not in node:
        return
    if not rest:
        yield node, (*steps, key)
    elif name == key:
        yield from _below(node[key], rest, (*steps, key))
    elif isinstance(node[key], list):
        for index, item in enumerate(node[key]):
            yield from _below(item, rest, (*steps, key, index))


def _job(modern: Modern) -> None:
    modern.warnings.extend(take_out(modern.tree))
    dataset = modern.tree.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("type"), str):
        dataset["type"] = SOURCES.get(dataset["type"], dataset["type"])
    response_format.translate(modern)


def _worker(modern: Modern) -> None:
    tree = modern.tree
    if isinstance(tree.get("vllm"), bool):
        del tree["vllm"]
        modern.warnings.append((("vllm",), "is left out: every worker runs the engine of its job"))
    finish = tree.get("when_finished")
    if isinstance(finish, str):
        tree.setdefault("exit_when_done", finish != "stay_connected")


def _monitor(modern: Modern) -> None:
    for name in [n for n in modern.tree if isinstance(n, str) and n.startswith("show_")]:
        if name not in PANES and not near(name, PANES, cutoff=0.85):
            del modern.tree[name]
            modern.warnings.append(((name,), f"is left out: {_PANES}"))


PANES = ("show_contributors", "show_throughput_graph")
_SPECIAL: dict[Kind, Callable[[Modern], None]] = {
    "job": _job,
    "worker": _worker,
    "monitor": _monitor,
}
