"""Doctor, the memory of a GPU: roughly whether a model fits, before minutes of loading tell.

An estimate, by what the files and the config of a model say: weights, what one request of the
longest kind keeps, and something for all the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from caption_flow.config.sizes import GIB, spelt
from caption_flow.doctor.finding import Finding, ok, problem, skipped, warning
from caption_flow.doctor.model import Model
from caption_flow.engine.nvml import Card

CHECK = "GPU memory"
UTILIZATION = 0.92  # vLLM's own, where nothing is said
REST = 3 * GIB // 2  # for the context of CUDA, activations and graphs; small models need less
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "half": 2.0, "float": 4.0}
_QUANTIZED = {"fp8": 1.0, "bitsandbytes": 0.6, "torchao": 1.0, "int8": 1.0}  # bytes of a weight
_LESS = (
    "Lower vllm.max_model_len, load fewer bytes (vllm.quantization: fp8, or a smaller model), or "
    "share it out among GPUs (vllm.tensor_parallel_size)."
)


class Engine(Struct, frozen=True):
    """An engine that is to run here."""

    model: Model
    arguments: Mapping[str, Any]  # of vLLM
    share: int = 1  # of how many engines on one device it is one

    @property
    def gpus(self) -> int:
        """On how many GPUs it lies."""
        return parallel(self.arguments)

    @property
    def utilization(self) -> float:
        """Which part of a GPU vLLM takes for it."""
        given = self.arguments.get("gpu_memory_utilization")
        return _number(given, UTILIZATION / self.share)


def parallel(arguments: Mapping[str, Any]) -> int:
    """Count the GPUs that one engine with these arguments needs."""
    sizes = (arguments.get(f"{kind}_parallel_size", 1) for kind in ("tensor", "pipeline"))
    counts = [int(_number(size, 1)) for size in sizes]
    return max(1, counts[0] * counts[1])


def weights(engine: Engine) -> float:
    """Estimate the bytes of the weights once they are loaded, on each GPU."""
    stored = _stored(engine.model.config)
    return engine.model.bytes * _loaded(engine, stored) / stored / engine.gpus


def longest(engine: Engine) -> float:
    """Estimate the bytes that a request of the longest kind keeps on each GPU; 0: unknown."""
    return _kept(engine) * _length(engine) / engine.gpus


def check_memory(engine: Engine, gpus: Sequence[Card]) -> list[Finding]:
    """Look whether an engine fits on the GPUs it would be given."""
    if len(gpus) < engine.gpus:
        said = f"{engine.model.name} is to lie on {engine.gpus} GPUs; {len(gpus)} are seen here."
        cure = "Lower vllm.tensor_parallel_size, or let the worker see more of them."
        return [problem(CHECK, said, cure)]
    smallest = min(gpus[: engine.gpus], key=lambda gpu: gpu.total)
    found = [_fit(engine, smallest), *_taken(engine, gpus[: engine.gpus])]
    return [one for one in found if one.state != "ok"] or found


def _fit(engine: Engine, gpu: Card) -> Finding:
    room, needed = gpu.total * engine.utilization, weights(engine) + REST
    kept = longest(engine)
    name = engine.model.name
    has = f"vLLM may use {spelt(room)} of the {spelt(gpu.total)} of {gpu.name}"
    parts = f"{spelt(weights(engine))} of weights and {spelt(REST)} of other things"
    if needed > room:
        said = f"{name} needs about {spelt(needed)} ({parts}, an estimate), and {has}."
        return problem(CHECK, said, f"Take a larger GPU. {_LESS}")
    if needed + kept > room:
        said = (
            f"{name} and one request of {_length(engine):,} tokens need about "
            f"{spelt(needed + kept)} ({parts}, an estimate), and {has}."
        )
        return warning(CHECK, said, _LESS)
    return ok(CHECK, f"{name} needs about {spelt(needed + kept)} (an estimate); {has}.")


def _taken(engine: Engine, gpus: Sequence[Card]) -> Iterator[Finding]:
    """Tell of memory that is somebody else's: vLLM takes its part at once, or does not start."""
    for gpu in gpus:
        wanted = gpu.total * engine.utilization * engine.share
        if gpu.free < wanted:
            said = (
                f"{spelt(gpu.free)} of GPU {gpu.index}, {gpu.name}, are free now, and vLLM starts "
                f"with no less than {spelt(wanted)}."
            )
            cure = (
                "End what holds it, unless that is a worker of yours (nvidia-smi lists it); or "
                "lower vllm.gpu_memory_utilization."
            )
            yield warning(CHECK, said, cure)


def unknown(name: str) -> Finding:
    """Say that nothing can be said."""
    return skipped(CHECK, f"How large {name} is nobody knows here.")


def _stored(config: Mapping[str, Any]) -> float:
    """Say how many bytes a weight has in the files."""
    text = _text(config)
    kind = config.get("dtype") or config.get("torch_dtype") or text.get("dtype")
    return _BYTES.get(str(kind or text.get("torch_dtype")), 2.0)


def _loaded(engine: Engine, stored: float) -> float:
    """Say how many it will have."""
    if engine.model.config.get("quantization_config"):
        return stored  # its files are as small already
    quantized = _QUANTIZED.get(str(engine.arguments.get("quantization")))
    if quantized is not None:
        return min(stored, quantized)
    # What was stored in 32 bits is loaded in 16, unless somebody asks for all of them.
    return _BYTES.get(str(engine.arguments.get("dtype")), min(stored, 2.0))


def _kept(engine: Engine) -> float:
    """Estimate the bytes that are kept for one token: keys and values of all layers."""
    text = _text(engine.model.config)
    heads = _count(text, "num_attention_heads")
    width = _count(text, "head_dim") or _count(text, "hidden_size") // max(1, heads)
    kept = _count(text, "num_hidden_layers") * (_count(text, "num_key_value_heads") or heads)
    size = 1.0 if "fp8" in str(engine.arguments.get("kv_cache_dtype", "")) else 2.0
    return 2 * kept * width * size


def _length(engine: Engine) -> int:
    """Say how many tokens the longest request has; 0: vLLM finds what fits."""
    given = engine.arguments.get("max_model_len")
    if given is not None:
        return max(0, int(_number(given, 0)))
    return _count(_text(engine.model.config), "max_position_embeddings")


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find what a config says of the part that writes, beside the part that sees."""
    text = config.get("text_config")
    return text if isinstance(text, dict) else config


def _count(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _number(value: object, otherwise: float) -> float:
    return value if isinstance(value, int | float) else otherwise
