#!/usr/bin/env bash
# Fetch a software Vulkan device that computes in float16 (SwiftShader has only float32): tools/lavapipe.sh FOLDER
# It takes Mesa's lavapipe, the Vulkan loader and the libraries both need out of Debian packages, without installing
# them and without root. Mesa before 25 offers the GPU runtime no adapter, so on older releases it comes from backports.
set -euo pipefail
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
for tool in apt-get dpkg-deb; do
    if ! command -v "$tool" >/dev/null; then
        echo "No $tool here: a software Vulkan device is fetched on Debian and its relatives only." >&2
        exit 1
    fi
done
export LC_ALL=C
rm -rf "$folder"
mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial" "$folder/root" "$folder/lib"
cd "$folder"
# An empty package database: apt then names everything that lavapipe needs, not only what this machine lacks.
touch state/status
options=(-qq -o "Dir::State=$PWD/state" -o "Dir::State::status=$PWD/state/status" -o "Dir::Cache=$PWD/cache"
    -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Retries=3 -o Acquire::Languages=none)
apt-get "${options[@]}" update

new_enough() {
    local version
    version=$(apt-cache "${options[@]}" policy mesa-vulkan-drivers 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
    dpkg --compare-versions "${version/(none)/0}" ge 25
}
if ! new_enough; then
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # the mirror that this machine itself uses, however its sources are written
    mirror=$(apt-get "${options[@]}" indextargets --format "\$(ORIGIN) \$(CODENAME) \$(COMPONENT) \$(REPO_URI)" |
        awk -v codename="$codename" '$1 == "Debian" && $2 == codename && $3 == "main" && !seen++ {print $4}')
    if [ -n "$mirror" ]; then
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        {
            if [ -f /etc/apt/sources.list ]; then cat /etc/apt/sources.list; fi
            echo "deb $([ ! -f $keyring ] || echo "[signed-by=$keyring]") $mirror $codename-backports main"
        } >sources.list
        options+=(-o "Dir::Etc::sourcelist=$PWD/sources.list" -o "APT::Default-Release=$codename-backports")
        apt-get "${options[@]}" update
    fi
    if ! new_enough; then
        echo "Neither this system's package sources nor Debian's backports offer Mesa 25 or newer." >&2
        exit 1
    fi
fi
apt-get "${options[@]}" --no-install-recommends --download-only -y install mesa-vulkan-drivers libvulkan1
for package in cache/archives/*.deb; do
    case $(basename "$package") in
        libc6_* | libgcc-s1_* | libstdc++6_*) ;; # every system has them, and a process must not mix two of them
        *) dpkg-deb -x "$package" root ;;
    esac
done

# Only what lavapipe really loads, under the names that it asks for.
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
rm -rf root state cache sources.list
touch ready
