#!/usr/bin/env bash
# Everything that must hold before a commit: format, lint, types, tests.
# Arguments go to pytest: bash scripts/test.sh -k onecycle
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh" dev

"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
"$PYTHON" -m mypy
.venv/bin/lint-imports --no-logo
# One thread a process: two workers with two threads each would fight over two cores.
export OMP_NUM_THREADS=1
# worksteal keeps a file's tests together, which share what was costly to set up.
exec "$PYTHON" -m pytest --numprocesses auto --dist worksteal "$@"
