#!/usr/bin/env bash
# The tests with the lowest versions that pyproject.toml allows of everything it names, and the
# newest of what those need: bash scripts/lowest.sh [ARGUMENTS OF PYTEST]
# Makes the environment in LRBENCH_LOWEST, by default build/lowest (7 GB, some minutes), each time
# anew. LRBENCH_PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${LRBENCH_LOWEST:-build/lowest}

"${LRBENCH_PYTHON:-python3}" -m venv --clear "$folder"
python=$folder/bin/python
"$python" -m pip install --quiet --disable-pip-version-check uv
"$python" -m uv pip compile --quiet pyproject.toml --extra dev --resolution lowest-direct \
    --python "$python" --output-file "$folder/versions.txt"
"$python" -m uv pip install --quiet --python "$python" --requirement "$folder/versions.txt"
"$python" -m uv pip install --quiet --python "$python" --no-deps --editable .
grep --extended-regexp --ignore-case "^($(sed -n 's/^ *"\([a-z0-9-]*\)>=.*/\1/p' pyproject.toml |
    sort -u | paste -sd '|'))==" "$folder/versions.txt"
export OMP_NUM_THREADS=1
exec "$python" -m pytest --numprocesses auto --dist worksteal "$@"
