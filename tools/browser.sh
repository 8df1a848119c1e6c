#!/usr/bin/env bash
# Fetch a browser without a window, and LiteRT.js to run in it: tools/browser.sh FOLDER
# Chromium comes out of Debian packages, with every library that it needs; its SwiftShader serves WebGPU without a GPU.
# Node.js, which drives it, comes from PyPI; LiteRT.js and Playwright from npm's registry, by npm's own configuration.
set -euo pipefail
. "$(dirname "$0")/debian.sh"
. "$(dirname "$0")/npm.sh"
folder=$1
if [ -f "$folder/ready" ] && [ -d "$folder/node_modules/axe-core" ]; then exit 0; fi
debian_start "$folder"
debian_unpack chromium-headless-shell

mv root/usr/lib/chromium chromium
rm -rf chromium/locales chromium/libVkLayer* chromium/libVkICD* chromium/*.TOC
# Only the libraries that Chromium really loads: those it is linked to, and those that NSS and PulseAudio add.
mkdir lib
unpacked=$(find "$PWD/root" \( -path '*-linux-gnu' -o -path '*-linux-gnu/pulseaudio' \) -type d | paste -sd:)
LD_LIBRARY_PATH=$unpacked ldd chromium/chromium-headless-shell | awk -v root="$PWD/root/" 'index($3, root) == 1 {print $3}' |
    xargs -I{} cp -L {} lib/
find root -name 'libsoftokn3.so' -o -name 'libfreeblpriv3.so' -o -name 'libfreebl3.so' | xargs -I{} cp -L {} lib/
# Every system has these, and a process must not mix two of them.
find lib \( -name 'libc.so.6' -o -name 'libm.so.6' -o -name 'libpthread.so.0' -o -name 'libdl.so.2' -o -name 'librt.so.1' \
    -o -name 'ld-linux*' -o -name 'libgcc_s.so*' -o -name 'libstdc++.so*' \) -delete
if LD_LIBRARY_PATH=$PWD/lib ldd chromium/chromium-headless-shell lib/*.so* | grep "not found"; then
    echo "Chromium lacks the libraries above on this system." >&2
    exit 1
fi

npm_start
npm_install @litertjs/core@2.5.3 playwright-core@1.65.1 axe-core@4.14.1
npm_finish
rm -rf root
debian_finish
