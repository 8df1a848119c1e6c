#!/usr/bin/env bash
# Lint, compile, test and pack the Kotlin code: android_export/test.sh TOOLS PYTHON
# TOOLS holds what tools/android.sh and tools/swiftshader.sh fetched, in folders of these names; PYTHON has kerafer.
#
# Google's Maven repository is not used. Where the code calls LiteRT and CameraX, it is compiled against the
# interfaces in stubs/, which do nothing; Android itself is that of API 23. So the APK shows that code, manifest,
# resources and exported bundles fit together; it has no runtime library in it and cannot run.
set -euo pipefail
tools=$(cd "$1" && pwd)
python=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")"
android=$tools/android
kotlin=$android/kotlin/lib
build=$android/build
java=("$android/java/bin/java" -XX:+UseSerialGC -XX:TieredStopAtLevel=1) # programs that end soon
export LD_LIBRARY_PATH=$android/lib
# the language that the project's Android plugin brings, which may be older than this compiler
language=$(sed -n 's/^kotlin = "\([0-9]*\.[0-9]*\)\..*/\1/p' gradle/libs.versions.toml)
rm -rf "$build"
mkdir -p "$build"

quietly() { "$@" >"$build/log" 2>&1 || { cat "$build/log" && exit 1; }; }

compile() { # CLASSPATH OUT SOURCES...
    local classpath=$1 out=$2
    shift 2
    find "$@" -name '*.kt' >"$build/sources"
    quietly "${java[@]}" -cp "$kotlin/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -kotlin-home "$android/kotlin" \
        -no-reflect -no-stdlib -no-jdk -jvm-target 1.8 -language-version "$language" -api-version "$language" -Werror \
        "-Xfriend-paths=$build/library" -cp "$kotlin/kotlin-stdlib.jar:$classpath:$android/android.jar" -d "$out" \
        "@$build/sources"
}

compile_java() { # CLASSPATH OUT SOURCES
    quietly "${java[@]}" -cp "$android/jars/ecj.jar" org.eclipse.jdt.internal.compiler.batch.Main -8 -nowarn \
        -bootclasspath "$android/android.jar" -cp "$1" -d "$2" "$3"
}

echo "lint"
"${java[@]}" -jar "$android/ktlint" --log-level=error "**/*.kt"

echo "compile, in Kotlin $language"
compile "" "$build/stubs" stubs
compile "$build/stubs" "$build/library" kerafer-android/src/main
libraries=$(find "$android/jars" -name '*.jar' | paste -sd:):$android/jars:$kotlin/kotlin-test.jar:$kotlin/kotlin-test-junit.jar
compile "$libraries:$build/library" "$build/tests" kerafer-android/src/test

echo "documents"
"$python" snippets.py ../docs/android.md README.md "$build/snippets"
compile "$build/stubs:$build/library" "$build/documented" "$build/snippets"
compile_java "$build/stubs:$kotlin/kotlin-stdlib.jar" "$build/documented" "$build/snippets"

echo "export"
TF_CPP_MIN_LOG_LEVEL=3 quietly "$python" make_fixtures.py "$build/fixtures"

echo "pack"
assets=$build/fixtures/project/app/src/main/assets
stored=$(sed -n 's/.*noCompress += listOf(\(.*\))/\1/p' app/build.gradle.kts | tr -d '",')
sed '/tools:node="remove"/d; s|xmlns:tools="[^"]*"|package="org.kerafer.app"|' app/src/main/AndroidManifest.xml >"$build/AndroidManifest.xml"
quietly "$android/aapt2" compile --dir app/src/main/res -o "$build/resources.zip"
# shellcheck disable=SC2046 # one option for each suffix
quietly "$android/aapt2" link -I "$android/framework-res.apk" --manifest "$build/AndroidManifest.xml" -A "$assets" \
    $(printf -- '-0 .%s ' $stored) --java "$build/generated" --min-sdk-version 24 --target-sdk-version 29 \
    --version-code 1 --version-name 0.1.0 -o "$build/app.unsigned" "$build/resources.zip"
compile_java "" "$build/resources" "$build/generated"
compile "$build/stubs:$build/library:$build/resources" "$build/app" app/src/main
find "$build/app" "$build/library" "$build/resources" -name '*.class' >"$build/classes"
quietly "${java[@]}" -cp "$android/d8.jar" com.android.tools.r8.D8 --min-api 24 --lib "$android/android.jar" \
    --classpath "$build/stubs" --classpath "$kotlin/kotlin-stdlib.jar" --output "$build" "@$build/classes"
(cd "$build" && "$python" -c 'import zipfile; zipfile.ZipFile("app.unsigned", "a").write("classes.dex")')
quietly "$android/zipalign" -f 4 "$build/app.unsigned" "$build/app.apk"
quietly "$android/java/bin/keytool" -genkeypair -keystore "$build/key.jks" -storepass android -keypass android -alias test \
    -dname CN=test -keyalg RSA
apksigner=("${java[@]}" -jar "$android/apksigner.jar")
quietly "${apksigner[@]}" sign --ks "$build/key.jks" --ks-pass pass:android "$build/app.apk"
"${apksigner[@]}" verify --min-sdk-version 24 "$build/app.apk"
# shellcheck disable=SC2086 # one word for each suffix
"$python" check_apk.py "$build/app.apk" "$assets" "$android/aapt2" $stored
echo "  app.apk: $(wc -c <"$build/app.apk") bytes, signed and verified, with bundles; without runtime libraries, so it cannot run"

echo "test"
# LiteRT's C library, which phones have too, comes with its Python package; its GPU runs on a software device.
litert=$("$python" -c 'import importlib.util as u; print(u.find_spec("ai_edge_litert").submodule_search_locations[0])')
tests=$(cd kerafer-android/src/test/kotlin && find . -name '*Test.kt' | sed 's|^\./||; s|\.kt$||; s|/|.|g' | sort)
export LD_LIBRARY_PATH=$litert:$tools/swiftshader/lib
export VK_ICD_FILENAMES=$tools/swiftshader/lib/vk_swiftshader_icd.json
# shellcheck disable=SC2086 # one word for each class
"${java[@]}" -Djna.library.path="$litert" -Dkerafer.fixtures="$build/fixtures" \
    -cp "$build/tests:$build/library:$libraries:$kotlin/kotlin-stdlib.jar" org.junit.runner.JUnitCore $tests 2>"$build/log" ||
    { cat "$build/log" && exit 1; }
