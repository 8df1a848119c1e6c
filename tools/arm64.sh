#!/usr/bin/env bash
# Fetch LiteRT for ARM phones' processors and an emulator to run it here: tools/arm64.sh FOLDER [VERSION]
# VERSION is that of ai-edge-litert, best the one installed beside kerafer; without it, the newest. Into FOLDER go
#   qemu-aarch64   the emulator of single programs, from a Debian package of this machine's processor
#   root           a Python and the libraries that it loads, from Debian's arm64 packages
#   packages       numpy and LiteRT's interpreter, from their aarch64 wheels
#   version        ai-edge-litert's
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
python=${PYTHON:-python3}
folder=$1
version=${2:-}
if [ -f "$folder/ready" ] && [ "${version:-$(cat "$folder/version")}" = "$(cat "$folder/version")" ]; then exit 0; fi
rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# XNNPACK, LiteRT's library of kernels, crashes in qemu before 10.
new_enough() { dpkg --compare-versions "$(debian_candidate qemu-user)" ge 1:10; }
debian_start "$folder/host"
if ! new_enough; then
    debian_backports
    if ! new_enough; then
        echo "Neither this system's package sources nor Debian's backports offer qemu-user 10 or newer." >&2
        exit 1
    fi
fi
debian_unpack qemu-user
cp -L root/usr/bin/qemu-aarch64 "$folder/"
cd "$folder"
rm -rf host
emulator="$folder/qemu-aarch64"
if ! "$emulator" --version >/dev/null; then
    echo "qemu-user of this system's package sources needs libraries that this system lacks." >&2
    exit 1
fi

# Whatever Python 3 this release has: the wheels exist for all of them.
debian_start "$folder/guest" arm64
debian_unpack python3 libstdc++6
cd "$folder"
stdlib=$(find guest/root/usr/lib -maxdepth 1 -name 'python3.*' -type d)
number=${stdlib##*/python}

"$python" -m venv wheels
wheels/bin/pip download --quiet --disable-pip-version-check --dest wheels/files --no-deps --only-binary :all: \
    --implementation cp --python-version "$number" --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
    "ai-edge-litert${version:+==$version}" numpy
mkdir packages
for wheel in wheels/files/*.whl; do
    "$python" -m zipfile -e "$wheel" packages
done
basename wheels/files/ai_edge_litert-*.whl | cut -d- -f2 >version
rm -rf wheels

# Only what the interpreter imports: not the GPU's library, the converter, the tools.
find packages/ai_edge_litert -mindepth 1 -maxdepth 1 ! -name __init__.py ! -name interpreter.py \
    ! -name "metrics_*.py" ! -name '_pywrap_litert_interpreter_wrapper.so' ! -name libpywrap_litert_common.so \
    ! -name libLiteRt.so -exec rm -rf {} +
find packages/numpy -depth \( -name tests -o -name '*.pyi' -o -name '*.a' -o -name '*.h' \) -exec rm -rf {} +

# Python's own modules and the libraries that all of this loads, under the names that it asks for.
mkdir -p root/usr/bin root/usr/lib root/lib
cp -L "guest/root/usr/bin/python$number" root/usr/bin/python3
cp -r "$stdlib" root/usr/lib/
(
    cd "root/usr/lib/python$number"
    rm -rf test idlelib lib2to3 tkinter turtledemo ensurepip pydoc_data config-* dist-packages
    # modules that bring large libraries along, and that nothing here imports
    rm -f lib-dynload/{_curses,_dbm,_gdbm,_sqlite3,_ssl,_tkinter,nis,readline}*
)
cp -L "$(find guest/root -name ld-linux-aarch64.so.1 -print -quit)" root/lib/
unpacked=$(find "$folder/guest/root" -maxdepth 3 -type d -name aarch64-linux-gnu | paste -sd:)
find root/usr/bin root/usr/lib packages -type f \( -name python3 -o -name '*.so' -o -name '*.so.*' \) >guest/programs
while read -r program; do
    LD_LIBRARY_PATH=$unpacked "$emulator" root/lib/ld-linux-aarch64.so.1 --list "$program" </dev/null
done <guest/programs >guest/libraries
awk -v root="$folder/guest/root/" 'index($3, root) == 1 {print $3}' guest/libraries | sort -u | xargs -I{} cp -L {} root/lib/
rm -rf guest
if ! LD_LIBRARY_PATH=$folder/root/lib PYTHONPATH=$folder/packages "$emulator" -L root root/usr/bin/python3 -c \
    'from ai_edge_litert.interpreter import Interpreter'; then
    echo "LiteRT does not start in the emulator: see above." >&2
    exit 1
fi
find . -name __pycache__ -prune -exec rm -rf {} +
touch ready
