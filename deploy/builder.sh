# Find what builds and runs images here: $builder, and $tool with its flags. Sourced by the scripts
# beside it. STORAGE_DRIVER=vfs is for where overlays cannot be mounted.
# shellcheck shell=bash disable=SC2034

builder=${BUILDER:-}
for name in podman docker buildah; do
    # A docker command without its daemon builds nothing.
    if [ -z "$builder" ] && command -v "$name" >/dev/null \
        && { [ "$name" = buildah ] || "$name" info >/dev/null 2>&1; }; then
        builder=$name
    fi
done
case $builder in
    podman | docker) ;;
    # Needs no namespaces, so it works in a container too.
    buildah) export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} BUILDAH_LAYERS=true ;;
    *) echo "podman, docker or buildah is needed${builder:+, not $builder}" >&2; exit 1 ;;
esac
tool=("$builder")
[ -z "${STORAGE_DRIVER:-}" ] || tool+=(--storage-driver "$STORAGE_DRIVER")
