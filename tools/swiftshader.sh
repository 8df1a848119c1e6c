#!/usr/bin/env bash
# Fetch a software Vulkan device, so that the GPU runtime can be run without a GPU: tools/swiftshader.sh FOLDER
# It takes the Vulkan loader and SwiftShader out of two Debian packages, without installing them and without root.
set -euo pipefail
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
for tool in apt-get dpkg-deb; do
    if ! command -v "$tool" >/dev/null; then
        echo "No $tool here: a software Vulkan device is fetched on Debian and its relatives only." >&2
        exit 1
    fi
done
rm -rf "$folder"
mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root"
cd "$folder"
options=(-qq -o "Dir::State=$PWD/state" -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=$PWD/cache"
    -o Debug::NoLocking=1 -o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" download libvulkan1 chromium-common
for package in *.deb; do dpkg-deb -x "$package" root; done
mkdir lib
cp -L root/usr/lib/*-linux-gnu/libvulkan.so.1 root/usr/lib/chromium/{libvk_swiftshader.so,vk_swiftshader_icd.json} lib/
rm -rf root state cache ./*.deb
touch ready
