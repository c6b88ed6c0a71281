"""Where faults are arranged, and the doctor is called."""

import json
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import Struct

from caption_flow.cli.main import cli
from tests.e2e.desk import settings
from tests.e2e.pictures import draw

SIMULATED = settings(engine="simulated")


class Report(Struct, frozen=True):
    """What the doctor said."""

    code: int
    findings: list[dict[str, str]]

    def of(self, check: str) -> dict[str, str]:
        """The one finding of a check."""
        [one] = [one for one in self.findings if one["check"] == check]
        return one

    def bad(self) -> list[dict[str, str]]:
        return [one for one in self.findings if one["state"] in {"problem", "warning"}]

    def only(self, check: str, state: str) -> tuple[str, str]:
        """What is wrong, where that is one thing: what it is, and the cure."""
        [one] = self.bad()
        assert (one["check"], one["state"]) == (check, state), one
        assert self.code == (1 if state == "problem" else 0)
        return one["said"], one["cure"]


class Practice:
    """A folder with a good data set, `photos`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.photos = draw(folder / "photos", 5)
        self.site = folder / "site-packages"
        self._monkeypatch = monkeypatch

    def distributions(self) -> Iterable[metadata.Distribution]:
        return metadata.distributions(path=[str(self.site)])

    def examine(self, *words: object) -> Report:
        """Call the doctor."""
        arguments = ["doctor", *map(str, words), "--json"]
        result = CliRunner().invoke(cli, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return Report(result.return_value, json.loads(result.stdout)["findings"])

    def install(self, name: str, version: str, *requires: str, **files: bytes) -> None:
        """Install a distribution by its metadata, with files of its module."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        for stem, data in files.items():
            path = self.site / name / stem.replace("__", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)

    def install_vllm(self) -> None:
        """Install packages that fit together, for GPUs."""
        self.install("vllm", "0.32.0", "torch==2.13.0", "torchvision==0.28.0")
        self.install("torch", "2.13.0", version__py=b"cuda: Optional[str] = '12.8'\n")
        self.install("torchvision", "0.28.0", "torch==2.13.0", _C__so=b"\0libcudart.so.12\0")

    def plug_in(self, *gpus: tuple[str, int, int]) -> None:
        """Let nvidia-smi tell of GPUs: name, MiB of memory, MiB of them that are free."""
        lines = [
            f"{index}, GPU-{index:04}, {name}, {total}, {free}"
            for index, (name, total, free) in enumerate(gpus)
        ]
        tools = self.folder / "tools"
        tools.mkdir()
        program = tools / "nvidia-smi"
        program.write_text("#!/bin/sh\ncat <<'EOF'\n" + "\n".join(lines) + "\nEOF\n")
        program.chmod(0o755)
        path = f"{tools}:{Path(str(shutil.which('sh'))).parent}"
        self._monkeypatch.setenv("PATH", path)

    def model(self, name: str = "model", *, bytes_: int = 1 << 20, **config: Any) -> Path:
        """Make the files of a model; the weights take no room on the disk."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"dtype": "bfloat16", **config}))
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(bytes_)
        return folder
