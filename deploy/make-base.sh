#!/usr/bin/env bash
# Make a base image out of Debian's packages, by debootstrap, where no registry of images can be
# reached. Called by build-images.sh with the image's name; needs root.
set -euo pipefail
# shellcheck source=deploy/builder.sh
. "$(dirname "$0")/builder.sh"

command -v debootstrap >/dev/null || {
    echo "no registry of images is reached, and debootstrap is not installed; or name a BASE" >&2
    exit 1
}
echo "── $1, by debootstrap"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,libpython3.11,ca-certificates \
    bookworm "$folder/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$folder/log" || { tail "$folder/log" >&2; exit 1; }
rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*
tar -C "$folder/root" -cf "$folder/base.tar" .
if [ "$builder" = buildah ]; then
    container=$("${tool[@]}" from scratch)
    "${tool[@]}" add --quiet "$container" "$folder/base.tar" / >/dev/null
    "${tool[@]}" commit --quiet --rm "$container" "$1" >/dev/null
else
    "${tool[@]}" import "$folder/base.tar" "$1" >/dev/null
fi
