#!/usr/bin/env bash
# From a bare clone to captions: installs into .venv, then captions 64 drawn images with a real
# vLLM on the CPU, through an embedded Redis, into Parquet.
set -euo pipefail
cd "$(dirname "$0")/.."

bash examples/venv.sh cpu
data=${1:-caption_data}
.venv/bin/caption-flow run examples/shapes/images --data-dir "$data"

echo
echo "Some of the captions, and how many of all 64 are exactly right:"
.venv/bin/python examples/shapes/score.py "$data/images" examples/shapes/captions.json --show 6
