#!/usr/bin/env bash
# Run what build-images.sh built, as Kubernetes would: a root file system that cannot be written,
# a user without rights. The trainer fits, the server serves by either front, the evaluator replays.
# The exit code is the evaluator's, the first that is not 0. Called by `make images`.
#
#   TARGETS="server evaluator"   which ones (default: server envoy evaluator trainer)
#   MODELS=…   a model repository to serve; without one the trainer fits one on synthetic digits
#   DATA=…     the data that it was evaluated on, a folder or synthetic (default: synthetic)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/builder.sh
. deploy/builder.sh

version=$(sed -n 's/^__version__ *= *"\(.*\)"/\1/p' gurmukhi/__init__.py)
scratch=$(mktemp -d)
chmod 755 "$scratch"
server=
# shellcheck disable=SC2317 # the trap calls it
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    wait
    [ ! -f "$scratch/containers" ] || xargs "${tool[@]}" rm <"$scratch/containers" >/dev/null
    rm -rf "$scratch"
}
trap end EXIT

# run TARGET "FROM:TO:MODE …" ARGUMENT…, in place of the shell; ENTRYPOINT=… runs something else.
run() {
    local image="gurmukhi-$1:$version" mounts=$2 volumes=() mount
    shift 2
    if [ "$builder" = buildah ]; then
        run_in_chroot "$image" "$mounts" "$@"
    fi
    for mount in $mounts; do volumes+=(--volume "$mount"); done
    exec "${tool[@]}" run --rm --network host --read-only --tmpfs /tmp --cap-drop all \
        --security-opt no-new-privileges --security-opt label=disable "${volumes[@]}" \
        ${ENTRYPOINT:+--entrypoint "$ENTRYPOINT"} "$image" "$@"
}

# buildah runs nothing read-only; the same files, mounted so, are.
run_in_chroot() {
    local image=$1 mounts=$2 container root user environment command
    shift 2
    container=$("${tool[@]}" from "$image")
    echo "$container" >>"$scratch/containers"
    root=$("${tool[@]}" mount "$container")
    user=$(look "$image" '{{.OCIv1.Config.User}}')
    environment=$(look "$image" '{{range .OCIv1.Config.Env}}{{.}} {{end}}')
    command=$(look "$image" '{{range .OCIv1.Config.Entrypoint}}{{.}} {{end}}')
    # shellcheck disable=SC2086,SC2016 # several words; the inner shell expands
    exec env ROOT="$root" MOUNTS="$mounts /dev:/dev:ro /proc:/proc:ro" OWNER="$user" \
        unshare --mount bash -euc '
            mount --bind "$ROOT" "$ROOT"
            for mount in $MOUNTS; do
                IFS=: read -r from to mode <<<"$mount"
                mkdir -p "$ROOT$to"
                mount --rbind "$from" "$ROOT$to"
                mount -o "remount,bind,$mode" "$ROOT$to"
            done
            mount -t tmpfs -o size=64m,mode=1777 tmpfs "$ROOT/tmp"
            mount -o remount,bind,ro "$ROOT"
            exec setpriv --no-new-privs chroot --userspec="$OWNER" --groups= "$ROOT" env -i "$@"
        ' - $environment ${ENTRYPOINT:-$command} "$@"
}

look() {
    "${tool[@]}" inspect --type image --format "$2" "$1"
}

models=${MODELS:-$scratch/models}
data=${DATA:-synthetic}
if [ -d "$data" ]; then
    data_mount="$(realpath "$data"):/data:ro"
    data_path=/data
fi

targets=${TARGETS:-server envoy evaluator trainer}
for target in $targets; do
    echo "── gurmukhi-$target:$version is sealed"
    (ENTRYPOINT=python run "$target" "$PWD/deploy:/deploy:ro" /deploy/assert_sealed.py)
done

if [ -z "${MODELS:-}" ]; then
    echo "── gurmukhi-trainer:$version fits a model"
    mkdir -m 777 "$models"
    (run trainer "$models:/models:rw ${data_mount:-}" fit --models /models --model mlp --versions 1 \
        --data "${data_path:-$data}" --parity-images 200 --quiet)
fi

code=0
# The first failure of the replays and the servers is the exit code.
keep() {
    [ "$code" -ne 0 ] || code=$1
}
for target in $targets; do
    case $target in server | envoy) ;; *) continue ;; esac
    echo "── gurmukhi-$target:$version serves it"
    : >"$scratch/ready"
    run "$target" "$(realpath "$models"):/models:ro" --models /models --host 127.0.0.1 --port 0 \
        --metrics-port 0 >"$scratch/ready" 2>"$scratch/log" &
    server=$!
    for _ in $(seq 120); do
        grep -q "gRPC on" "$scratch/ready" || ! kill -0 "$server" 2>/dev/null || sleep 0.5
    done
    ports=$(sed -n 's/.*gRPC on [^ ]*:\([0-9]*\), HTTP on [^ ]*:\([0-9]*\).*/\1 \2/p' "$scratch/ready")
    [ -n "$ports" ] || { cat "$scratch/log" >&2; exit 1; }
    read -r grpc_port http_port <<<"$ports"

    echo "── gurmukhi-evaluator:$version replays against it"
    (run evaluator "$(realpath "$models"):/models:ro ${data_mount:-}" --target "127.0.0.1:$grpc_port" \
        --models /models --data "${data_path:-$data}" --report /tmp/report --profile conformance \
        --metrics "http://127.0.0.1:$http_port/metrics") || keep $?
    kill "$server"
    wait "$server" || keep $?
    server=
done
exit "$code"
