#!/usr/bin/env bash
# Lint, compile and test the Kotlin code on the Java virtual machine: android_export/test.sh TOOLS PYTHON
# TOOLS holds what tools/android.sh and tools/swiftshader.sh fetched, in folders of these names; PYTHON has kerafer.
set -euo pipefail
tools=$(cd "$1" && pwd)
python=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")"
export LD_LIBRARY_PATH=$tools/android/java/more
java=$tools/android/java/bin/java
build=$tools/android/build
sources=kerafer-android/src

"$java" -jar "$tools/android/ktlint" --log-level=error "**/*.kt"

mkdir -p "$build"
TF_CPP_MIN_LOG_LEVEL=3 "$python" make_fixtures.py "$build/fixtures" 2>"$build/log" || { cat "$build/log" && exit 1; }

jars=$(find "$tools/android/jars" -name '*.jar' | paste -sd:):$tools/android/jars
kotlin=$tools/android/kotlin/lib
jars=$jars:$kotlin/kotlin-test.jar:$kotlin/kotlin-test-junit.jar:$kotlin/kotlin-stdlib.jar
rm -rf "$build/classes"
find $sources -name '*.kt' >"$build/sources"
"$java" -cp "$kotlin/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -kotlin-home "$tools/android/kotlin" -no-reflect -no-stdlib \
    -Werror -cp "$jars" -d "$build/classes" "@$build/sources"

# LiteRT's C library, which phones have too, comes with its Python package; its GPU runs on a software device.
litert=$("$python" -c 'import importlib.util as u; print(u.find_spec("ai_edge_litert").submodule_search_locations[0])')
export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$litert:$tools/swiftshader/lib
export VK_ICD_FILENAMES=$tools/swiftshader/lib/vk_swiftshader_icd.json
tests=$(cd "$sources/test/kotlin" && find . -name '*Test.kt' | sed 's|^\./||; s|\.kt$||; s|/|.|g' | sort)
# shellcheck disable=SC2086 # one word for each class
"$java" -Djna.library.path="$litert" -Dkerafer.fixtures="$build/fixtures" -cp "$build/classes:$jars" \
    org.junit.runner.JUnitCore $tests 2>"$build/log" || { cat "$build/log" && exit 1; }
