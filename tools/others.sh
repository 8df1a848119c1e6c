#!/usr/bin/env bash
# Install the packages that `make bench` compares with, each as pip does it, in a virtual environment of its own:
# tools/others.sh FOLDER [PYTHON]. It takes about 6 GB, most of which is the CUDA libraries that PyTorch brings along.
set -euo pipefail
folder=$1
python=$(realpath -s "$(command -v "${2:-python3}" || echo "${2:-python3}")")
mkdir -p "$folder"
cd "$folder"
make_one() { # NAME PACKAGE...
    if [ -f "$1/ready" ]; then return; fi
    rm -rf "$1"
    "$python" -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
    touch "$1/ready"
}
# fer imports pkg_resources; OpenCV's headless build needs no X libraries, and its version 5 has no cascades
if [ ! -f fer/ready ]; then
    make_one fer fer==25.10.3 "setuptools<81"
    fer/bin/pip uninstall --quiet --yes opencv-contrib-python
    fer/bin/pip install --quiet --disable-pip-version-check "opencv-contrib-python-headless<4.12" "numpy<2"
fi
make_one deepface deepface==0.0.103 tensorflow tf-keras flask "opencv-contrib-python-headless<5"
