"""A bundle that can be seen was finished, and what has happened to it since is noticed."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import IMAGES, LABELS, edit_json, manifest_of, reseal, write_bundle, write_golden

from gurmukhi.bundle import Golden, find_bundles, publishing, read_bundle, write_manifest
from gurmukhi.errors import BundleError
from gurmukhi.manifest import EVALUATION, FILES, GOLDEN, MANIFEST, MODEL


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of a sound bundle."""
    return write_bundle(tmp_path / "models")


def test_a_bundle_reads_back_as_it_was_written(bundle: Path) -> None:
    read = read_bundle(bundle)
    read.verify()
    expected = manifest_of("mlp", 1)
    assert read.manifest.inputs == expected.inputs
    assert read.manifest.outputs == expected.outputs
    assert read.manifest.labels == expected.labels
    assert read.manifest.data == expected.data
    assert read.manifest.model_sha256 == hashlib.sha256(b"m").hexdigest()
    assert np.array_equal(read.golden().images, IMAGES)
    assert np.array_equal(read.golden().digits, LABELS)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_is_noticed(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: sha256 is [0-9a-f]+, the manifest says"):
        read_bundle(bundle).verify()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: cannot be read \(No such file"):
        read_bundle(bundle).verify()


def test_a_bundle_without_a_manifest_was_never_finished(bundle: Path) -> None:
    (bundle / MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"mlp/1: no manifest\.json, so the bundle was never"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"x"', "\udcff", "[" * 100_000, '{"a": NaN', "1" * 5000]
)
def test_what_is_no_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BundleError, match=r"manifest\.json: "):
        read_bundle(bundle)


def test_a_manifest_cut_off_anywhere_is_refused(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_bytes()
    for end in range(0, len(text) - 2, 40):
        (bundle / MANIFEST).write_bytes(text[:end])
        with pytest.raises(BundleError, match=r"manifest\.json: not a manifest"):
            read_bundle(bundle)


REQUIRED = [
    "name", "version", "inputs", "outputs", "labels", "data", "seed", "hyperparameters",
    "selection", "libraries", "opset", "parity", "accuracy", "score_tolerance", "files",
    "platform", "format_version",
]  # fmt: skip


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(bundle: Path, key: str) -> None:
    edit_json(bundle / MANIFEST, lambda manifest: manifest.pop(key))
    with pytest.raises(BundleError, match=f"{key} is missing"):
        read_bundle(bundle)


@pytest.mark.parametrize("key", REQUIRED)
def test_a_value_of_the_wrong_type_is_refused(bundle: Path, key: str) -> None:
    sound = (bundle / MANIFEST).read_text()
    right: type = type(json.loads(sound)[key])
    values: list[Any] = [None, 7.5, [], {"a": 1}, "x", True, [[]], -1]
    for value in values:
        if isinstance(value, right) or (right is float and isinstance(value, int)):
            continue  # of the right type, or a number that another test refuses
        (bundle / MANIFEST).write_text(json.dumps({**json.loads(sound), key: value}))
        with pytest.raises(BundleError):
            read_bundle(bundle)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1e-9, 1.5, "0.1", True])
@pytest.mark.parametrize("key", ["accuracy", "score_tolerance"])
def test_a_tolerance_that_would_let_anything_pass_is_refused(
    bundle: Path, key: str, value: Any
) -> None:
    edit_json(bundle / MANIFEST, lambda record: record.update({key: value}))
    with pytest.raises(BundleError, match=f"{key} is"):
        read_bundle(bundle)


def test_an_unknown_format_version_is_named(bundle: Path) -> None:
    edit_json(bundle / MANIFEST, lambda manifest: manifest.update(format_version=2))
    with pytest.raises(BundleError, match="format_version is 2, expected 1"):
        read_bundle(bundle)


def test_a_manifest_without_a_file_is_refused(bundle: Path) -> None:
    edit_json(bundle / MANIFEST, lambda manifest: manifest["files"].pop(MODEL))
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        read_bundle(bundle)


@pytest.mark.parametrize("place", ["svm-linear/1", "mlp/2"])
def test_a_bundle_in_the_wrong_place_is_refused(bundle: Path, place: str) -> None:
    moved = bundle.parents[1] / place
    moved.parent.mkdir(exist_ok=True)
    bundle.rename(moved)
    with pytest.raises(BundleError, match=rf"is of mlp/1, but lies in {place}"):
        read_bundle(moved)


def test_a_link_to_another_version_is_refused(bundle: Path) -> None:
    (bundle.parent / "2").symlink_to("1")
    with pytest.raises(BundleError, match="is of mlp/1, but lies in mlp/2"):
        read_bundle(bundle.parent / "2")


def test_a_bundle_is_found_by_a_relative_path(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle)
    read_bundle(Path()).verify()


GOLDEN_DAMAGE: dict[str, Callable[[Path], object]] = {
    "no archive": lambda path: path.write_bytes(b"hello"),
    "nothing": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "a damaged stream": lambda path: path.write_bytes(
        path.read_bytes()[:100] + b"\xff" * 40 + path.read_bytes()[140:]
    ),
    "one array": lambda path: np.save(path.open("wb"), IMAGES),
    "a pickle": lambda path: np.savez(
        path, images=np.array([{"a": 1}], dtype=object), digits=LABELS, scores=LABELS
    ),
    "an array missing": lambda path: np.savez(path, images=IMAGES, digits=LABELS),
    "no images": lambda path: write_golden(
        path, Golden(IMAGES[:0], LABELS[:0], np.zeros((0, 10), np.float32))
    ),
    "other shapes": lambda path: write_golden(
        path, Golden(IMAGES[:3], LABELS, np.zeros((20, 10), np.float32))
    ),
    "no dimensions": lambda path: np.savez(path, images=IMAGES, digits=3, scores=LABELS),
    "other dtypes": lambda path: np.savez(
        path, images=IMAGES.astype(float), digits=LABELS, scores=np.zeros((20, 10), np.float32)
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("damage", GOLDEN_DAMAGE)
def test_golden_vectors_are_refused_when_they_are(bundle: Path, damage: str) -> None:
    GOLDEN_DAMAGE[damage](bundle / GOLDEN)
    reseal(bundle)
    with pytest.raises(BundleError, match=r"golden\.npz: "):
        read_bundle(bundle).golden()


def test_bundles_are_found_by_name_and_number(tmp_path: Path) -> None:
    for version in (10, 2, 1):
        write_bundle(tmp_path, "mlp", version)
    write_bundle(tmp_path, "a")
    for stray in ("lost+found/1", ".hidden/1", "mlp/.3", "mlp/03", "mlp/v4", "mlp/0", "UPPER/1"):
        (tmp_path / stray).mkdir(parents=True)
    (tmp_path / "mlp" / "config.pbtxt").write_text("")
    (tmp_path / "mlp" / "5").write_text("a file")
    (tmp_path / "readme.txt").write_text("")
    (tmp_path / "empty").mkdir()
    found = [str(folder.relative_to(tmp_path)) for folder in find_bundles(tmp_path)]
    assert found == ["a/1", "mlp/1", "mlp/2", "mlp/10"]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_repository_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=f"{name}: no such model repository"):
        find_bundles(tmp_path / name)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, BundleError])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_publication_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException], is_first: bool
) -> None:
    repository = tmp_path / "models"
    if not is_first:
        write_bundle(repository)
    before = everything_in(tmp_path)
    with pytest.raises(error), publishing(repository, "mlp", 1) as folder:  # noqa: PT012 - how it is used
        (folder / MODEL).write_bytes(b"half")
        raise error("planted")
    assert everything_in(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_bundle_without_a_manifest_is_not_published(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match="mlp/1: the bundle has no manifest"),
        publishing(tmp_path / "models", "mlp", 1) as folder,
    ):
        (folder / MODEL).write_bytes(b"m")
    assert find_bundles(tmp_path / "models") == []


def test_an_interrupt_between_the_two_renames_keeps_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "models", model=b"old")
    rename, calls = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "models", model=b"new")
    assert read_bundle(bundle).read(MODEL) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_version_is_replaced_whole(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "models", model=b"old")
    (bundle / "stray").write_text("of the old one")
    write_bundle(tmp_path / "models", model=b"new")
    read_bundle(bundle).verify()
    assert read_bundle(bundle).read(MODEL) == b"new"
    assert sorted(path.name for path in bundle.iterdir()) == sorted((*FILES, MANIFEST))
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_published_bundle_may_be_read_by_everybody(bundle: Path) -> None:
    assert bundle.stat().st_mode & 0o777 == 0o755


def test_two_publications_at_once_do_not_mix(tmp_path: Path) -> None:
    def publish(model: bytes) -> None:
        write_bundle(tmp_path / "models", f"m-{model.decode()}", 1, model)

    threads = [threading.Thread(target=publish, args=(str(i).encode(),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = find_bundles(tmp_path / "models")
    assert len(found) == 4
    for folder in found:
        read_bundle(folder).verify()


def test_a_repository_may_be_another_file_system(tmp_path: Path) -> None:
    shared_memory = Path("/dev/shm")  # noqa: S108 - the one that is mounted nearly everywhere
    if not os.access(shared_memory, os.W_OK) or not os.path.ismount(shared_memory):
        pytest.skip("there is no other file system")
    name = f"test-{tmp_path.name}-{os.getpid()}".lower()
    try:
        folder = write_bundle(shared_memory, name)
        read_bundle(folder).verify()
        assert not list(shared_memory.glob(f".*{name}*"))
    finally:
        for path in sorted((shared_memory / name).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (shared_memory / name).rmdir()


def test_the_manifest_states_what_is_in_the_folder(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(name.encode())
    write_manifest(tmp_path, manifest_of("mlp", 1))
    stated = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert stated == {name: hashlib.sha256(name.encode()).hexdigest() for name in FILES}


def test_a_manifest_is_not_written_for_a_bundle_that_lacks_a_file(tmp_path: Path) -> None:
    (tmp_path / MODEL).write_bytes(b"m")
    with pytest.raises(BundleError, match=rf"{EVALUATION}: cannot be read"):
        write_manifest(tmp_path, manifest_of("mlp", 1))
    assert not (tmp_path / MANIFEST).exists()
