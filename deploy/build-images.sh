#!/usr/bin/env bash
# Build the images with podman, docker or buildah, whichever is there. Called by `make images`.
#
#   TARGETS="server evaluator"   which ones (default: server envoy evaluator trainer)
#   BASE=…                       another base image than the Containerfile's
#   MOUNTS="/etc/pip.conf …"     what the build sees of this machine, in the same place; not docker's
#                                (default: pip's configuration and the CAs that are trusted here)
#   PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL    more places with packages, such as PyTorch's CPU wheels
#   BUILD_FLAGS="…"              more flags of the builder
#   BUILDER=…                    one of the three
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/builder.sh
. deploy/builder.sh

version=$(sed -n 's/^__version__ *= *"\(.*\)"/\1/p' gurmukhi/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

flags=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
for name in PIP_FIND_LINKS PIP_EXTRA_INDEX_URL; do
    [ -z "${!name:-}" ] || flags+=(--build-arg "$name=${!name}")
done
if [ "$builder" != docker ]; then  # docker finds the file by its name, and mounts nothing
    flags+=(--ignorefile deploy/Containerfile.dockerignore)
    for path in ${MOUNTS-/etc/pip.conf /etc/ssl/certs/ca-certificates.crt ${PIP_FIND_LINKS:-}}; do
        [ ! -e "$path" ] || flags+=(--volume "$path:$path:ro")
    done
fi

pinned=$(sed -n 's/^ARG BASE=//p' deploy/Containerfile)
if [ -z "${BASE:-}" ] && ! "${tool[@]}" pull --quiet "$pinned" >/dev/null 2>&1; then
    BASE=localhost/gurmukhi-base
    "${tool[@]}" inspect --type image "$BASE" >/dev/null 2>&1 || deploy/make-base.sh "$BASE"
fi

for target in ${TARGETS:-server envoy evaluator trainer}; do
    echo "── gurmukhi-$target:$version, by $builder${BASE:+ on $BASE}"
    # shellcheck disable=SC2086 # several flags in one variable
    "${tool[@]}" build ${BUILD_FLAGS:-} "${flags[@]}" ${BASE:+--build-arg "BASE=$BASE"} \
        --file deploy/Containerfile --target "$target" --tag "gurmukhi-$target:$version" .
done
