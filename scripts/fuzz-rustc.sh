#!/usr/bin/env bash
# A rustc that lets libFuzzer see which branches the program takes. Used by fuzz.sh for this package alone, so that its
# dependencies are those of any other build.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code
