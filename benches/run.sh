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
case ${BENCH_ONLY:-} in
"" | scoring)
    built=$(cd "$here/.." && cargo bench --locked --no-run --bench scoring --message-format=json-render-diagnostics)
    DAYMILL_SCORING_BENCH=$("$work/venv/bin/python" -c '
import json, sys
lines = map(json.loads, sys.stdin.read().splitlines())
print(next(line["executable"] for line in lines if line.get("target", {}).get("name") == "scoring" and line.get("executable")))
' <<<"$built")
    export DAYMILL_SCORING_BENCH
    "$work/venv/bin/python" "$here/scoring.py" "$work"
    ;;
esac
exec "$work/venv/bin/python" "$here/bench.py" "$work"
