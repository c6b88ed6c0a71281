#!/usr/bin/env bash
# Installs into .venv and tests everything: style, types, imports, then the tests.
# Arguments go to pytest, as in: bash tests/run.sh tests/queue -k offer
set -euo pipefail
cd "$(dirname "$0")/.."

bash examples/venv.sh cpu,test
export PATH="$PWD/.venv/bin:$PATH"
export HF_HUB_OFFLINE=1

ruff check .
ruff format --check .
# vLLM is imported by each of its processes: it is compiled once, while mypy has the other core.
unset PYTHONDONTWRITEBYTECODE
python -c "import vllm.v1.engine.async_llm" >/dev/null 2>&1 &
mypy
wait
# Two at a time, see tests/schedule.py: most tests wait for processes of theirs.
python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
