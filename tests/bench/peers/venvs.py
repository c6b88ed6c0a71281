"""Bench: a venv for each peer, made when it is first wanted, and what a peer said in it."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.bench.tree import Tree

HERE = Path(__file__).parent
PATIENCE = 900.0  # seconds for a venv, and for a run
REASON = 200  # letters of what is said of a peer that cannot run


class Peer(Struct, frozen=True):
    """Another way to do the same work."""

    name: str
    script: str
    packages: tuple[str, ...]


RAY_DATA = Peer("ray_data", "ray_data.py", ("ray[data]", "pillow"))
DAFT = Peer("daft", "daft_frames.py", ("daft", "numpy"))
PEERS = (RAY_DATA, DAFT)


class PeerMissing(Exception):
    """A peer cannot be installed or run here; says why."""


def python_of(peer: Peer, folder: Path) -> Path:
    """Give the interpreter of its venv, made unless it is there."""
    venv = folder / peer.name
    python, done = venv / "bin/python", venv / "installed"
    if not done.exists():
        print(f"peers: installing {', '.join(peer.packages)}", file=sys.stderr, flush=True)
        _said([sys.executable, "-m", "venv", "--clear", str(venv)])
        _said([str(python), "-m", "pip", "install", "--quiet", *peer.packages])
        done.touch()
    return python


def measured(peer: Peer, folder: Path, images: Path, *flags: str) -> dict[str, Any]:
    """Run it once; answers its rates, what it took, or why there is nothing to tell."""
    try:
        return _measured([str(python_of(peer, folder)), str(HERE / peer.script)], images, flags)
    except (PeerMissing, OSError) as exc:
        return {"missing": " ".join(str(exc).split())[-REASON:]}


def _measured(command: list[str], images: Path, flags: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-peer-") as place:
        begun = time.monotonic()
        process = subprocess.Popen(
            [*command, str(images), f"{place}/out", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=place,
        )
        with Tree(process.pid) as tree:
            told = _answer(process)
        seconds = time.monotonic() - begun
    rates = {
        "images_per_s": round(told["captions"] / seconds, 1),
        "work_per_s": round(told["captions"] / told["work_s"], 1),
    }
    return {**told, **rates, "cpu_s": tree.used.cpu_s, "peak_mib": tree.used.peak_mib}


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as exc:
        process.kill()
        process.communicate()
        raise PeerMissing(f"It did not end within {PATIENCE:.0f} s.") from exc
    documents = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not documents:
        raise PeerMissing(f"It ended with code {process.returncode}: {err or out}")
    answer: dict[str, Any] = json.loads(documents[-1])
    return answer


def _said(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise PeerMissing(f"It could not be installed within {PATIENCE:.0f} s.") from exc
    if done.returncode:
        raise PeerMissing(f"It could not be installed: {done.stderr or done.stdout}")
