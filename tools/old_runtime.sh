#!/usr/bin/env bash
# Fetch a LiteRT of 2023, as older apps ship it, when it was called TensorFlow Lite: tools/old_runtime.sh FOLDER
# It was built for Python up to 3.11 and for numpy before 2, so it gets a virtual environment of its own. Where `python3`
# is newer, name another: PYTHON=/path/to/python3.11 tools/old_runtime.sh FOLDER
set -euo pipefail
python=${PYTHON:-python3}
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
if ! "$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' 2>/dev/null; then
    echo "tflite-runtime 2.14 needs Python 3.9 to 3.11 as '$python'; name another with: PYTHON=/path/to/python3.11" >&2
    exit 1
fi
rm -rf "$folder"
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --only-binary :all: \
    tflite-runtime==2.14.0 "numpy<2"
"$folder/venv/bin/python" -c 'from tflite_runtime.interpreter import Interpreter'
touch "$folder/ready"
