#!/usr/bin/env bash
# Fetch a software Vulkan device that computes in float16 (SwiftShader has only float32): tools/lavapipe.sh FOLDER
# It takes Mesa's lavapipe, the Vulkan loader and the libraries both need out of Debian packages. Mesa before 25 offers
# the GPU runtime no adapter, so on older releases it comes from backports.
set -euo pipefail
. "$(dirname "$0")/debian.sh"
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
debian_start "$folder"
new_enough() { dpkg --compare-versions "$(debian_candidate mesa-vulkan-drivers)" ge 25; }
if ! new_enough; then
    debian_backports
    if ! new_enough; then
        echo "Neither this system's package sources nor Debian's backports offer Mesa 25 or newer." >&2
        exit 1
    fi
fi
debian_unpack mesa-vulkan-drivers libvulkan1
# Every system has these, and a process must not mix two of them.
find root \( -name 'libc.so.6' -o -name 'libm.so.6' -o -name 'libpthread.so.0' -o -name 'libdl.so.2' -o -name 'librt.so.1' \
    -o -name 'ld-linux*' -o -name 'libgcc_s.so*' -o -name 'libstdc++.so*' \) -delete

# Only what lavapipe really loads, under the names that it asks for.
mkdir lib
unpacked=$(find "$PWD/root" -maxdepth 3 -type d -name '*-linux-gnu*' | paste -sd:)
driver=$(find "$PWD/root" -name libvulkan_lvp.so)
cp -L "$driver" "$(dirname "$driver")/libvulkan.so.1" lib/
LD_LIBRARY_PATH=$unpacked ldd "$driver" | awk -v root="$PWD/root/" 'index($3, root) == 1 {print $3}' |
    xargs -I{} cp -L {} lib/
# A path with a slash is taken from the folder of the JSON file, so the folder can be moved.
sed -E 's#("library_path": *")[^"]*#\1./libvulkan_lvp.so#' root/usr/share/vulkan/icd.d/lvp_icd*.json >lib/lvp_icd.json
if LD_LIBRARY_PATH=$PWD/lib ldd lib/*.so* | grep "not found"; then
    echo "lavapipe lacks the libraries above on this system." >&2
    exit 1
fi
rm -rf root
debian_finish
