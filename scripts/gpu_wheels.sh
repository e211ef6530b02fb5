#!/usr/bin/env bash
# Gather the wheels that a GPU machine without a package registry lacks, beside its own PyTorch:
# bash scripts/gpu_wheels.sh wheels; there: pip install --no-index --find-links wheels hydra-core
set -euo pipefail
folder=${1:-wheels}
mkdir -p "$folder"
# antlr's runtime is published as source alone: a wheel is built here.
python3 -m pip wheel --quiet --no-deps --wheel-dir "$folder" \
    'hydra-core>=1.3.2,<1.4' 'omegaconf>=2.3,<2.4' antlr4-python3-runtime==4.9.3
ls "$folder"
