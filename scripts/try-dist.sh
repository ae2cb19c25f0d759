#!/usr/bin/env bash
# Tries what scripts/dist.sh made, as somebody would who has nothing else: each package in a new place, a new project, a scored table.
set -euo pipefail
cd "$(dirname "$0")/.."
dist=$PWD/${1:-dist}
work=$(mktemp -d "${TMPDIR:-/tmp}/daymill-try.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A project, a night, and what stands in the table.
score() {
    local daymill=$1 project=$2
    "$daymill" init --example flights "$project" >/dev/null
    "$daymill" --project "$project" run flight_delay --date 2013-06-08 >/dev/null
    python3 - "$project/.daymill/warehouse.sqlite" <<'PY'
import sqlite3, sys
rows, lowest, highest = sqlite3.connect(sys.argv[1]).execute("SELECT count(*), min(p_late), max(p_late) FROM flight_delay_scores").fetchone()
assert rows == 779 and 0 < lowest < highest < 1, (rows, lowest, highest)
PY
}

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$dist"/*.whl
score "$work/venv/bin/daymill" "$work/by-wheel"
echo "try-dist: the wheel scores"

mkdir "$work/archive"
tar -C "$work/archive" -xzf "$dist"/daymill-*.tar.gz
score "$work/archive/usr/bin/daymill" "$work/by-archive"
for page in daymill daymill-run daymill-models-import; do
    gzip -dc "$work/archive/usr/share/man/man1/$page.1.gz" | grep -q '^.TH' || { echo "try-dist: no man page $page" >&2; exit 1; }
done
bash -n "$work/archive/usr/share/bash-completion/completions/daymill"
echo "try-dist: the archive scores, and has man pages and completions"

if command -v dpkg-deb >/dev/null; then
    dpkg-deb -x "$dist"/daymill_*.deb "$work/deb"
    [ "$(dpkg-deb -f "$dist"/daymill_*.deb Package)" = daymill ]
    score "$work/deb/usr/bin/daymill" "$work/by-deb"
    echo "try-dist: the .deb scores"
fi
