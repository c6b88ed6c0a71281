"""Doctor, the model: whether it is there, whole and ours to load, and how large it is."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from msgspec import Struct

from caption_flow.config.sizes import spelt
from caption_flow.doctor.finding import Finding, ok, problem, warning

CHECK = "model"
SECONDS = 20.0  # for the hub to answer
_CONFIG = "config.json"
_INDEX = "model.safetensors.index.json"
# Of what there is the first kind is loaded.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_WHO_MAY = "a token that may (HF_TOKEN, or: hf auth login)"


class Model(Struct, frozen=True):
    """What is known of a model before it is loaded."""

    name: str
    bytes: int  # of its weights
    config: Mapping[str, Any]  # its config.json


class Looked(Struct, frozen=True):
    """What became of looking for a model."""

    finding: Finding
    model: Model | None = None  # None: too little is known of it


def find_model(name: str, arguments: Mapping[str, Any]) -> Looked:
    """Look for a model where vLLM would: in a folder, among what was downloaded, on the hub."""
    try:
        return _here(name, arguments) or _on_hub(name, arguments.get("revision"))
    except Exception as exc:  # of any kind: what the hub's client raises is not said anywhere
        return Looked(_refused(name, exc))


def _here(name: str, arguments: Mapping[str, Any]) -> Looked | None:
    """Look on this host; None where the hub is to be asked."""
    folder = Path(name).expanduser()
    try:
        is_there = folder.is_dir()
    except OSError as exc:
        return Looked(_unreadable(name, f"in {folder}", exc))
    if is_there:
        return _in_folder(name, folder, f"in {folder}")
    if _is_path(name):
        said = f"There is no folder {folder}."
        cure = "Download the model there, or name one of the hub, as ORG/NAME."
        return Looked(problem(CHECK, said, cure))
    revision, cache = arguments.get("revision"), arguments.get("download_dir")
    cached = try_to_load_from_cache(name, _CONFIG, cache_dir=cache, revision=revision)
    if not isinstance(cached, str):
        return None
    found = _in_folder(name, Path(cached).parent, "among what was downloaded")
    return found if found.model is not None or constants.HF_HUB_OFFLINE else None


def _is_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name.count("/") > 1


def _in_folder(name: str, folder: Path, where: str) -> Looked:
    try:
        config = json.loads((folder / _CONFIG).read_bytes())
        sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
        missing = _missing(folder, sizes)
    except OSError as exc:
        return Looked(_unreadable(name, where, exc))
    except ValueError:
        return Looked(problem(CHECK, f"{folder / _CONFIG} is no JSON.", f"{_again(name)}."))
    weights = _weights(sizes)
    if missing or not weights:
        lacks = f"{len(missing)} files of weights, such as {missing[0]}" if missing else "weights"
        return Looked(problem(CHECK, f"{name}, {where}, lacks {lacks}.", f"{_again(name)}."))
    model = Model(name, weights, config if isinstance(config, dict) else {})
    return Looked(ok(CHECK, f"{name} is {where}, {spelt(weights)} of weights."), model)


def _again(name: str) -> str:
    return "Copy it anew" if _is_path(name) else f"Download it once more: hf download {name}"


def _unreadable(name: str, where: str, error: OSError) -> Finding:
    said = f"{name}, {where}, cannot be read: {error.filename}: {error.strerror}."
    return problem(CHECK, said, f"{_again(name)}, and let this user read it.")


def _missing(folder: Path, sizes: Mapping[str, int]) -> list[str]:
    """Name the files that the index of the weights lists, and that are not there."""
    index = folder / _INDEX
    if not index.exists():
        return []
    listed = json.loads(index.read_bytes()).get("weight_map", {})
    return sorted(set(listed.values()) - sizes.keys())


def _weights(sizes: Mapping[str, int]) -> int:
    """Add up the files that are loaded: some models come in several kinds, or twice in one."""
    for suffix in _WEIGHTS:
        named = {name: size for name, size in sizes.items() if name.endswith(suffix)}
        main = {name: size for name, size in named.items() if name.startswith("model")}
        if named:
            return sum((main or named).values())
    return 0


def _on_hub(name: str, revision: str | None) -> Looked:
    api = HfApi()
    api.auth_check(name)
    info = api.model_info(name, revision=revision, files_metadata=True, timeout=SECONDS)
    config = _config_on_hub(name, revision)
    sizes = {
        one.rfilename: one.size or 0 for one in info.siblings or () if "/" not in one.rfilename
    }
    weights = _weights(sizes)
    if not weights:
        cure = "Name a model with weights in safetensors."
        return Looked(problem(CHECK, f"{name} has no weights on the hub.", cure))
    said = f"{name} is on the hub, {spelt(weights)} of weights to be downloaded."
    return Looked(ok(CHECK, said), Model(name, weights, config))


def _config_on_hub(name: str, revision: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:  # not among the downloads: it is not all of it
        try:
            path = hf_hub_download(name, _CONFIG, revision=revision, local_dir=folder)
            config = json.loads(Path(path).read_bytes())
        except (EntryNotFoundError, ValueError):
            return {}
    return config if isinstance(config, dict) else {}


def _refused(name: str, error: Exception) -> Finding:
    """Say what keeps us from a model on the hub."""
    if isinstance(error, GatedRepoError):  # before the next: it is one of them
        said = f"{name} is for those only to whom its owners have given access."
        where = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return problem(CHECK, said, f"Ask for it at {where}/{name}, and give {_WHO_MAY}.")
    if isinstance(error, RevisionNotFoundError):
        return problem(CHECK, f"{name} has no such revision.", "Mend revision, or leave it out.")
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        said = f"The hub has no model {name}, or does not show it to us."
        return problem(CHECK, said, f"Mend vllm.model; of a private one, give {_WHO_MAY}.")
    if isinstance(error, OfflineModeIsEnabled):
        said = f"{name} is not among what was downloaded, and HF_HUB_OFFLINE keeps us off the hub."
        return problem(CHECK, said, f"Unset that, or download it first: hf download {name}")
    why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    said = f"{name} is not here, and the hub does not tell of it ({why})."
    return warning(CHECK, said, f"See to the network, or: hf download {name}")
