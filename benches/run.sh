#!/usr/bin/env bash
# Makes a virtual environment and the data once, then measures. Called by `make bench`, beside a private Postgres.
#   BENCH_COPIES=9 (copies of the year; 9 are 2.95 million rows)   BENCH_ROUNDS=3
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${BENCH_WORK:-${CARGO_TARGET_DIR:-$here/../target}/bench}
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
    python3 -m venv "$work/venv"
fi
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
export DAYMILL_BIN=${DAYMILL_BIN:-${CARGO_TARGET_DIR:-$here/../target}/release/daymill}
exec "$work/venv/bin/python" "$here/bench.py" "$work"
