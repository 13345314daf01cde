#!/usr/bin/env bash
# Build the images with podman, docker or buildah, whichever is there. Called by `make images`.
#
#   TARGETS="server evaluator"   which ones (default: server evaluator trainer)
#   BASE=…                       another base image than the Containerfile's
#   BUILD_FLAGS="…"              more flags of the builder, such as mirrors or --storage-driver
#   BUILDER=…                    one of the three
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^__version__ *= *"\(.*\)"/\1/p' gurmukhi/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# A docker command without its daemon builds nothing.
builder=${BUILDER:-}
for name in podman docker buildah; do
    if [ -z "$builder" ] && command -v "$name" >/dev/null \
        && { [ "$name" = buildah ] || "$name" info >/dev/null 2>&1; }; then
        builder=$name
    fi
done
ignore=(--ignorefile deploy/Containerfile.dockerignore)
[ "$builder" != docker ] || ignore=()  # finds it by its name
[ -n "$builder" ] || { echo "podman, docker or buildah is needed" >&2; exit 1; }

for target in ${TARGETS:-server evaluator trainer}; do
    echo "── gurmukhi-$target:$version, by $builder"
    # shellcheck disable=SC2086 - several flags in one variable
    "$builder" build ${BUILD_FLAGS:-} ${BASE:+--build-arg "BASE=$BASE"} \
        "${ignore[@]}" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
        --file deploy/Containerfile --target "$target" --tag "gurmukhi-$target:$version" .
done
