#!/usr/bin/env bash
# Build the wheel and try it in a clean environment of each Python: tools/try_wheel.sh FOLDER PYTHON...
# Away from the source tree, so that nothing but the wheel can be imported; each environment is removed afterwards.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
pip() { "$1" -m pip --quiet --disable-pip-version-check "${@:2}"; }

"$1" -m venv "$folder/build"
pip "$folder/build/bin/python" install build
rm -rf "$folder/dist"
(cd "$source" && "$folder/build/bin/python" -m build --outdir "$folder/dist")
for python in "$@"; do
    venv=$folder/venv
    rm -rf "$venv" "$folder/run"
    "$python" -m venv "$venv"
    pip "$venv/bin/python" install "$folder"/dist/*.whl
    "$venv/bin/python" -m pip --disable-pip-version-check check
    mkdir "$folder/run"
    cd "$folder/run"
    portrait=$("$venv/bin/python" -c 'import matplotlib.cbook as c; print(c.get_sample_data("grace_hopper.jpg", asfileobj=False))')
    export XDG_CACHE_HOME=$folder/run/cache
    "$venv/bin/kerafer" --version
    "$venv/bin/kerafer" predict "$portrait"
    "$venv/bin/kerafer" export ean --weights fer2013 --recipe float16 --recipe static_int8 --out bundle
    "$venv/bin/kerafer" verify bundle --rungs cpu
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; print(f"tried: Python {sys.version.split()[0]}", *(f"{n} {m.version(n)}" for n in ("tensorflow", "keras", "ai-edge-litert", "numpy")), sep=", ")'
    cd "$folder"
done
rm -rf "$folder/venv" "$folder/run" "$folder/build"
