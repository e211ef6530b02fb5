#!/usr/bin/env bash
# From a fresh checkout to a trained network: sets up .venv, then trains the default job, which
# needs no download. Arguments are overrides: bash scripts/demo.sh scheduler=plateau
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(scheduler=onecycle)
echo "For commands of your own: source .venv/bin/activate"
echo
"$PYTHON" -m lrbench "${arguments[@]}"
