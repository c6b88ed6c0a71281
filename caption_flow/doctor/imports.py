"""Doctor, the packages of the engine once more: whether they import, tried in another process.

That takes up to a minute, so it is done where somebody asks for it.
"""

import subprocess
import sys
from collections.abc import Sequence

from caption_flow.doctor.finding import Finding, ok, problem

CHECK = "imports"
SECONDS = 300.0  # for one of them; the first time Python compiles thousands of files
_PROGRAM = "import importlib, sys; importlib.import_module(sys.argv[1])"


def check_imports(names: Sequence[str]) -> list[Finding]:
    """Import each by itself, and stop at the first that fails: others would for the same reason."""
    for name in names:
        if said := _failure(name):
            cure = (
                "Install vLLM, torch and torchvision together, in a fresh environment; a "
                "torchvision that is built for another torch may just be uninstalled."
            )
            return [problem(CHECK, f"{name} cannot be imported ({said}).", cure)]
    return [ok(CHECK, f"{', '.join(names)} can be imported.")]


def _failure(name: str) -> str:
    """Say why a module does not import; empty: it does."""
    try:
        done = subprocess.run(  # noqa: S603 - our own Python
            [sys.executable, "-c", _PROGRAM, name],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {SECONDS:.0f} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"Python ended with {done.returncode}"
