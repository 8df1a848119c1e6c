#!/usr/bin/env bash
# Fetch MediaPipe 0.10.21, which classifies pictures with nothing but a .tflite file and holds TensorFlow Lite's OpenGL
# delegate, and a software OpenGL ES device for that: tools/mediapipe.sh FOLDER [PYTHON]
# It makes a virtual environment of its own, because this MediaPipe needs NumPy 1, and takes Mesa's EGL and llvmpipe out
# of Debian packages.
set -euo pipefail
. "$(dirname "$0")/debian.sh"
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
python=$(realpath -s "$(command -v "${2:-python3}" || echo "${2:-python3}")")
if ! "$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
    echo "MediaPipe 0.10.21 needs Python 3.9 to 3.12 as '$python'; name another: tools/mediapipe.sh FOLDER PYTHON" >&2
    exit 1
fi
debian_start "$folder"

"$python" -m venv venv
# The image classifier imports no more than these; MediaPipe's own list (JAX, OpenCV with its X libraries, Matplotlib)
# is ten times as large.
venv/bin/pip install --quiet --disable-pip-version-check --no-deps mediapipe==0.10.21 "numpy>=1.26,<2" "protobuf>=4.25.3,<5"
# What only other tasks use, and what installed it all.
rm -rf venv/lib/python3*/site-packages/mediapipe/modules
venv/bin/pip uninstall --quiet --disable-pip-version-check -y setuptools pip

debian_unpack libegl-mesa0 libgl1-mesa-dri
# Every system has these, and a process must not mix two of them.
find root \( -name 'libc.so.6' -o -name 'libm.so.6' -o -name 'libpthread.so.0' -o -name 'libdl.so.2' -o -name 'librt.so.1' \
    -o -name 'ld-linux*' -o -name 'libgcc_s.so*' -o -name 'libstdc++.so*' \) -delete

# Only what EGL on llvmpipe really loads, under the names that it asks for. The dispatching libEGL and libGLESv2 are
# inside MediaPipe.
mkdir lib
unpacked=$(find "$PWD/root" -maxdepth 3 -type d -name '*-linux-gnu*' | paste -sd:)
egl=$(find "$PWD/root" -name libEGL_mesa.so.0)
driver=$(find "$PWD/root" -name swrast_dri.so)
cp -L "$egl" "$driver" lib/
LD_LIBRARY_PATH=$unpacked ldd "$egl" "$driver" | awk -v root="$PWD/root/" 'index($3, root) == 1 && !seen[$3]++ {print $3}' |
    xargs -I{} cp -L {} lib/
# A name without a slash is looked for where LD_LIBRARY_PATH says, so the folder can be moved.
cp root/usr/share/glvnd/egl_vendor.d/50_mesa.json lib/egl_mesa.json
if LD_LIBRARY_PATH=$PWD/lib ldd lib/*.so* | grep "not found"; then
    echo "Mesa lacks the libraries above on this system." >&2
    exit 1
fi
rm -rf root
debian_finish
