#!/usr/bin/env bash
# Looks for misspelled words. typos.toml names what is no mistake.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.52.0
venv=${CARGO_TARGET_DIR:-$HOME/.cache/daymill/target}/typos-$version
if [ ! -x "$venv/bin/typos" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "typos==$version" >&2
fi
"$venv/bin/typos"
