#!/usr/bin/env bash
# The whole road in one run: data, fit, serve, replay, report. Called by `make demo`.
# Ends with the evaluator's verdict as its exit code.
set -euo pipefail

work=build/demo
rm -rf "$work"
mkdir -p "$work"

echo "── 1. the data"
gurmukhi-train data

echo
echo "── 2. fit, export, check every graph against the model it was made from"
gurmukhi-train fit --models "$work/models"

echo
echo "── 3. serve on free ports"
gurmukhi-serve --models "$work/models" --host 127.0.0.1 --port 0 --metrics-port 0 \
    >"$work/serve.out" 2>"$work/serve.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
until grep -q '^ready' "$work/serve.out"; do
    if ! kill -0 "$server" 2>/dev/null; then
        cat "$work/serve.log" >&2
        exit 3
    fi
    sleep 0.1
done
cat "$work/serve.out"
port=$(sed -n 's/^ready: gRPC on [^ ]*:\([0-9]*\),.*/\1/p' "$work/serve.out")

echo
echo "── 4. replay the test split against every version that is served"
code=0
gurmukhi-evaluate --target "127.0.0.1:$port" --models "$work/models" --report "$work/report" || code=$?
exit "$code"
