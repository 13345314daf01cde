"""Write the Python stubs of the protocols: `make protos`, or `generate.py OUT` elsewhere."""

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).parent
GOOGLE = Path(grpc_tools.__file__).parent / "_proto"


def generate(out: Path) -> None:
    """Write `gurmukhi/v1/` and `gurmukhi/inference/` below `out`."""
    _compile(PROTO / "gurmukhi/v1/digits.proto", root=PROTO, out=out)
    inference = out / "gurmukhi"
    inference.mkdir(parents=True, exist_ok=True)
    _compile(PROTO / "inference/open_inference_grpc.proto", root=PROTO, out=inference)
    _give_own_pool(inference / "inference/open_inference_grpc_pb2.py")
    _place_in_package(inference / "inference/open_inference_grpc_pb2_grpc.py")


def _compile(proto: Path, *, root: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    flags = [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if protoc.main(["protoc", f"-I{root}", f"-I{GOOGLE}", *flags, str(proto)]) != 0:
        raise SystemExit(f"{proto}: protoc refused it")


def _give_own_pool(stub: Path) -> None:
    """Keep our copy of the Open Inference messages apart from other clients' copies.

    Two files that define the same messages cannot share a descriptor pool, and a program may
    well import tritonclient or KServe's client beside ours.
    """
    _replace_once(stub, "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")


def _place_in_package(stub: Path) -> None:
    _replace_once(stub, "from inference import", "from gurmukhi.inference import")


def _replace_once(stub: Path, old: str, new: str) -> None:
    text = stub.read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{stub}: expected {old!r} once; protoc writes otherwise now")
    stub.write_text(text.replace(old, new))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO.parent)
