#!/usr/bin/env bash
# Fuzzes the parsers of hostile bytes, each for some seconds, from a corpus made of the fixtures.
#
#   scripts/fuzz.sh SECONDS [PARSER ...]
#
# What was learned stays in the target folder. Bytes that fail are kept beside it, and their path is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift
target=${CARGO_TARGET_DIR:-target}
work=$target/fuzz
names=(catboost copy csv jsonl lightgbm onnx parquet safetensors sql xgboost)
[ $# = 0 ] || names=("$@")

binary=$(RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh cargo build --locked --features fuzzing --example fuzz \
    --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*examples\/fuzz[^"]*\)".*/\1/p' | tail -1)
[ -x "$binary" ] || { echo "fuzz: the binary was not built" >&2; exit 1; }

# Puts the fixtures of a parser into a folder, each under a name that says what is in it.
seeds() {
    local folder=$1 name=$2
    rm -rf "$folder" && mkdir -p "$folder"
    case $name in
    safetensors) files=(fixtures/models/*/*/model.safetensors) ;;
    xgboost) files=(fixtures/models/*/xgboost*/model.* fixtures/models/flight_delay/*/model.ubj) ;;
    lightgbm | catboost | onnx) files=(fixtures/models/foreign/"$name"*/model.*) ;;
    parquet) files=(fixtures/*.parquet fixtures/writers/*/*.parquet) ;;
    csv) files=(fixtures/cases/*/*/input/*.csv fixtures/cases/*/*/expected.csv) ;;
    jsonl) files=(fixtures/sql/expected.jsonl) ;;
    sql) files=(fixtures/sql/queries/*.sql) ;;
    copy) files=() ;;
    *) echo "fuzz: there is no parser $name" >&2; return 1 ;;
    esac
    for file in "${files[@]}"; do
        case $name in
        sql) # One query to a file.
            awk -v out="$folder/$(basename "$file" .sql)" '/^--- /{n++; next} {print > (out "-" n)}' "$file" ;;
        jsonl) head -n 20 "$file" >"$folder/lines" ;;
        *) [ "$(wc -c <"$file")" -le 65536 ] && cp "$file" "$folder/$(echo "$file" | tr / _)" ;;
        esac || true
    done
    if [ "$name" = csv ]; then
        printf '\0id,f,t,b,d,at\n1,1.5,"a ""b"" c",true,2024-02-29,2024-01-01T06:00:00Z\n' >"$folder/types"
        printf '\1id;f;t;b;d;at\n1;1,5;x;false;;\n' >"$folder/semicolons"
    elif [ "$name" = jsonl ]; then
        printf '{"id": 1, "f": 5e-324, "t": "\\u00fc", "b": null, "d": "2024-02-29", "at": "2024-01-01T06:00:00Z"}\n' \
            >"$folder/types"
    fi
}

failed=0
for name in "${names[@]}"; do
    seeds "$work/seeds/$name" "$name"
    mkdir -p "$work/corpus/$name" "$work/failed"
    echo "fuzz: $name for $seconds s"
    if ! DAYMILL_FUZZ=$name "$binary" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$work/failed/$name-" "$work/corpus/$name" "$work/seeds/$name" \
        >"$work/$name.log" 2>&1; then
        grep -E "panicked|ERROR|SUMMARY|Test unit written" "$work/$name.log" >&2 || tail -20 "$work/$name.log" >&2
        failed=1
    fi
    grep -E "stat::number_of_executed_units|DONE|stat::peak_rss_mb" "$work/$name.log" | sed 's/^/    /'
done
exit $failed
