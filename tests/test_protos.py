"""The committed stubs are what proto/ gives."""

import importlib.util
from pathlib import Path

from conftest import ROOT


def test_the_committed_stubs_are_what_the_protocols_give(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)
    generated = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py*")}
    committed = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "gurmukhi").rglob("*_pb2*.py*")
        if "__pycache__" not in path.parts
    }
    assert generated == committed
    for name in sorted(generated):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: make protos"
