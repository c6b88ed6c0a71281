"""Importing the configuration is cheap: a child process reads a dump, not YAML."""

import subprocess
import sys


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    return set(done.stdout.split())


def test_importing_brings_no_heavy_module():
    heavy = {
        "yaml",
        "redis",
        "pyarrow",
        "vllm",
        "PIL",
        "numpy",
        "asyncio",
        "click",
        "rich",
        "jsonschema",
    }

    assert loaded_after("import caption_flow.config") & heavy == set()


def test_reading_a_dump_brings_no_yaml():
    code = "from caption_flow.config import *\nfrom_json(dump(JobConfig()))"

    assert "yaml" not in loaded_after(code)
