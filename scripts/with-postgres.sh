#!/usr/bin/env bash
# Runs a command beside a private Postgres and stops the server afterwards.
#
#   scripts/with-postgres.sh COMMAND [ARG ...]
#
# The server listens on a Unix socket and on a free port of 127.0.0.1; DAYMILL_TEST_PG holds its URL. Its files are
# in a temporary folder. The binaries are found, or installed with apt; as root the server runs as the user postgres.
set -euo pipefail

find_binaries() {
    local folder
    for folder in "${PG_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
        "$(dirname "$(readlink -f "$(command -v initdb || echo /nowhere/initdb)")")" \
        /usr/local/pgsql/bin /opt/homebrew/opt/postgresql*/bin; do
        if [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
            echo "$folder"
            return
        fi
    done
}

bin=$(find_binaries)
if [ -z "$bin" ]; then
    echo "with-postgres: no initdb and pg_ctl here; installing postgresql with apt" >&2
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
    $sudo apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends postgresql >&2
    bin=$(find_binaries)
fi
if [ -z "$bin" ]; then
    echo "with-postgres: no Postgres could be found or installed; set PG_BIN to the folder of initdb" >&2
    exit 1
fi

# What the tests of faults use beside the server: system calls that fail, false clocks, certificates, a pooler.
if [ "${DAYMILL_TEST_TOOLS:-}" = 1 ]; then
    missing=
    for tool in strace faketime openssl pgbouncer; do
        PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    if [ -n "$missing" ]; then
        echo "with-postgres: installing$missing with apt" >&2
        if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
        $sudo apt-get update -qq >&2
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >&2
    fi
fi

# Other readers of the Parquet files that a run publishes.
if [ "${DAYMILL_TEST_TOOLS:-}" = 1 ] && [ -z "${DAYMILL_TEST_PYTHON:-}" ]; then
    readers=$(cd "$(dirname "$0")/.." && pwd)/tests/readers.txt
    venv=${CARGO_TARGET_DIR:-$HOME/.cache/daymill/target}/readers-venv
    if ! cmp -s "$readers" "$venv/readers.txt"; then
        echo "with-postgres: installing the readers of $readers with pip" >&2
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$readers" >&2
        cp "$readers" "$venv/readers.txt"
    fi
    export DAYMILL_TEST_PYTHON=$venv/bin/python
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/daymill-pg.XXXXXX")
as_server=()
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || useradd --system --no-create-home postgres
    chown postgres "$folder"
    as_server=(runuser -u postgres --)
fi
stop() {
    (cd / && "${as_server[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1) || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd_and_run() { (cd / && "${as_server[@]}" "$@"); }
cd_and_run "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null

# A free port may be taken between the look and the start, so try a few.
started=
for _ in 1 2 3 4 5; do
    port=$(( 20000 + RANDOM % 20000 ))
    if cd_and_run "$bin/pg_ctl" -D "$folder/data" -w -t 60 -l "$folder/log" -o "-p $port -h 127.0.0.1 -k $folder -c max_connections=200 -c shared_buffers=${PG_SHARED_BUFFERS:-128MB} -c max_wal_size=4GB ${PG_OPTIONS:-}" start >/dev/null 2>&1; then
        started=1
        break
    fi
done
if [ -z "$started" ]; then
    echo "with-postgres: the server did not start:" >&2
    tail -20 "$folder/log" >&2 || true
    exit 1
fi
chmod 755 "$folder"

export DAYMILL_TEST_PG_BIN=$bin
export DAYMILL_TEST_PG="postgres://postgres@127.0.0.1:$port/postgres"
"$@"
