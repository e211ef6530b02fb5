# Sourced by the other scripts: makes .venv with lrbench and the extras asked for, once.
#   source scripts/venv.sh [EXTRA ...]      e.g. dev
# Leaves $PYTHON set. A .venv made from the same pyproject.toml with these extras is reused as it is.
# LRBENCH_LOCKED=1 installs exactly the versions of scripts/constraints.txt.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
PYTHON=.venv/bin/python

lrbench_venv() {
    local extra base stamp wanted locked=
    [ "${LRBENCH_LOCKED:-0}" = 0 ] || locked=scripts/constraints.txt
    base=${LRBENCH_PYTHON:-python3}
    wanted=$(cat pyproject.toml $locked | sha256sum | cut -c1-16)
    stamp=.venv/lrbench-installed
    local missing=()
    for extra in core "$@"; do
        grep -qsx "$wanted $extra" "$stamp" || missing+=("$extra")
    done
    [ ${#missing[@]} -eq 0 ] && [ -x "$PYTHON" ] && return 0

    if ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "lrbench needs Python 3.11 or newer; '$base' is $("$base" --version 2>&1)." >&2
        echo "Set LRBENCH_PYTHON to one, for example LRBENCH_PYTHON=python3.12 bash $0" >&2
        return 1
    fi
    if [ ! -x "$PYTHON" ] || ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
        echo "Making a virtual environment in .venv ..."
        rm -rf .venv
        "$base" -m venv .venv || {
            echo "'$base -m venv' failed: on Debian or Ubuntu, apt-get install python3-venv" >&2
            return 1
        }
    fi
    local names
    names=$(IFS=,; echo "$*")
    echo "Installing lrbench${names:+[$names]} into .venv (torch is large: a minute or more) ..."
    "$PYTHON" -m pip install --quiet --disable-pip-version-check \
        ${locked:+--constraint "$locked"} --editable ".${names:+[$names]}" || return 1
    for extra in core "$@"; do echo "$wanted $extra"; done >>"$stamp"
}

lrbench_venv "$@" || exit 1
