"""Write the Python stubs of the protocols: `make protos`, or `generate.py OUT` elsewhere."""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).parent
GOOGLE = Path(grpc_tools.__file__).parent / "_proto"
# Protocols that are not ours, and the package that our copy of each lives in.
FOREIGN = {
    "inference/open_inference_grpc.proto": "gurmukhi/inference",
    "grpc/health/v1/health.proto": "gurmukhi/health",
}


def generate(out: Path) -> None:
    """Write `gurmukhi/v1/`, `gurmukhi/inference/` and `gurmukhi/health/` below `out`."""
    _compile(PROTO / "gurmukhi/v1/digits.proto", out)
    for proto, package in FOREIGN.items():
        with tempfile.TemporaryDirectory() as folder:
            _compile(PROTO / proto, Path(folder))
            (out / package).mkdir(parents=True, exist_ok=True)
            for stub in (Path(folder) / proto).parent.iterdir():
                text = _place_in_package(_give_own_pool(stub), proto, package)
                (out / package / stub.name).write_text(text)


def _compile(proto: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    flags = [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{GOOGLE}", *flags, str(proto)]) != 0:
        raise SystemExit(f"{proto}: protoc refused it")


def _give_own_pool(stub: Path) -> str:
    """Keep our copy of the messages apart from other packages' copies.

    Two files that define the same messages cannot share a descriptor pool, and a program may
    well import tritonclient, KServe's client or grpc_health beside ours.
    """
    text = stub.read_text()
    if not stub.name.endswith("_pb2.py"):
        return text
    return _replace_once(
        stub, text, "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
    )


def _place_in_package(text: str, proto: str, package: str) -> str:
    home = str(Path(proto).parent).replace("/", ".")
    return text.replace(f"from {home} import", f"from {package.replace('/', '.')} import")


def _replace_once(stub: Path, text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise SystemExit(f"{stub.name}: expected {old!r} once; protoc writes otherwise now")
    return text.replace(old, new)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO.parent)
