"""gurmukhi-classify turns picture files into digits, and one bad picture spoils no other."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RunningServer, run_command
from data_folders import encode
from PIL import Image

from gurmukhi.labels import GLYPHS
from gurmukhi.synthetic import synthetic_digits

# Of the series that the models were fitted on: they read these as they were told.
IMAGES, LABELS = synthetic_digits(10, 1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three digits as PNG, BMP and TIFF, one of them deeper down."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "a.png").write_bytes(encode(IMAGES[0]))
    (tmp_path / "b.BMP").write_bytes(encode(IMAGES[1], "BMP"))
    (tmp_path / "deeper" / "c.tiff").write_bytes(encode(IMAGES[2], "1-bit TIFF"))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def classify(server: RunningServer, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = run_command("gurmukhi.classify", "--target", server.target, *words, stdin=stdin)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_folder_becomes_a_table(server: RunningServer, pictures: Path) -> None:
    code, table, errors = classify(server, "--model", "mlp:1", str(pictures))
    assert (code, errors) == (0, "")
    lines = table.splitlines()
    assert lines[0].split() == ["image", "digit", "glyph", "confidence", "model", "warnings"]
    assert len(lines) == 2 + 3
    for line, name, label in zip(lines[2:], ("a.png", "b.BMP", "c.tiff"), LABELS, strict=False):
        image, digit, glyph, confidence, model, *_ = line.split()
        assert image.endswith(name)
        assert (int(digit), glyph, model) == (label, GLYPHS[label], "mlp:1")
        assert 0 < float(confidence) <= 1


def test_json_is_an_object_a_line(server: RunningServer, pictures: Path) -> None:
    code, lines, _ = classify(server, "--json", "--model", "mlp", str(pictures))
    records = [json.loads(line) for line in lines.splitlines()]
    assert code == 0
    assert [record["digit"] for record in records] == LABELS[:3].tolist()
    assert [record["glyph"] for record in records] == [GLYPHS[label] for label in LABELS[:3]]
    for record in records:
        assert record["confidence"] == max(record["probabilities"])
        assert len(record["scores"]) == 10
        assert len(record["sha256"]) == 64
        assert (record["model"], record["version"], record["warnings"]) == ("mlp", "1", [])


def test_csv_has_a_row_a_picture(server: RunningServer, pictures: Path) -> None:
    (pictures / "d.png").write_bytes(b"broken")
    code, text, _ = classify(server, "--csv", "--model", "svm-linear", str(pictures))
    rows = {Path(row["image"]).name: row for row in csv.DictReader(io.StringIO(text))}
    assert code == 4
    assert sorted(rows) == ["a.png", "b.BMP", "c.tiff", "d.png"]
    assert rows["a.png"]["digit"] == str(LABELS[0])
    assert rows["a.png"]["confidence"] == ""  # version 1 of an SVM has no probabilities
    assert rows["d.png"]["digit"] == ""
    assert "not a PNG" in rows["d.png"]["error"]


def test_standard_input_is_a_picture(server: RunningServer) -> None:
    code, table, errors = classify(server, "-", stdin=encode(IMAGES[4]))
    assert (code, errors) == (0, "")
    assert table.splitlines()[2].split()[:2] == ["-", str(LABELS[4])]


def test_nothing_on_standard_input_is_an_empty_image(server: RunningServer) -> None:
    code, table, errors = classify(server, "-")
    assert (code, table) == (4, "")
    assert len(errors.splitlines()) == 1
    assert "the image is empty" in errors


def test_tiff_and_bmp_of_a_digit_get_the_same_answer(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(encode(IMAGES[5], "1-bit TIFF"))
    (tmp_path / "a.bmp").write_bytes(encode(IMAGES[5], "BMP"))
    _, lines, _ = classify(server, "--json", str(tmp_path))
    first, second = (json.loads(line) for line in lines.splitlines())
    assert first["scores"] == second["scores"]
    assert first["warnings"] == second["warnings"] == []


def test_a_bad_picture_spoils_no_other(server: RunningServer, pictures: Path) -> None:
    (pictures / "0-truncated.png").write_bytes(encode(IMAGES[0])[:70])
    (pictures / "1-blank.png").write_bytes(encode(np.full((50, 50), 255, np.uint8)))
    code, table, errors = classify(server, str(pictures))
    assert code == 4
    assert len(table.splitlines()) == 2 + 3
    truncated, blank = errors.splitlines()
    assert "0-truncated.png: " in truncated
    assert "ends after 70 bytes" in truncated
    assert "1-blank.png: " in blank


def test_a_folder_named_as_a_picture_is_searched(server: RunningServer, tmp_path: Path) -> None:
    folder = tmp_path / "scans.png"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(IMAGES[0]))
    code, table, _ = classify(server, str(tmp_path))
    assert code == 0
    assert len(table.splitlines()) == 2 + 1


def test_a_line_break_in_a_name_breaks_no_line(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "good\n.png").write_bytes(encode(IMAGES[0]))
    (tmp_path / "bad\n.png").write_bytes(b"x")
    code, table, errors = classify(server, str(tmp_path))
    assert code == 4
    assert len(table.splitlines()) == 2 + 1
    assert len(errors.splitlines()) == 1
    _, lines, _ = classify(server, "--json", str(tmp_path))
    assert [Path(json.loads(line)["image"]).name for line in lines.splitlines()] == [
        "bad\n.png",
        "good\n.png",
    ]


def test_a_phones_picture_is_reduced_before_it_is_sent(
    server: RunningServer, tmp_path: Path
) -> None:
    paper = Image.fromarray(IMAGES[6]).resize((2000, 2000)).point(lambda v: 60 if v < 128 else 200)
    grain = np.random.default_rng(0).normal(0, 12, (2600, 2600))
    grey = np.pad(np.asarray(paper), 300, constant_values=200) + grain
    photo = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")
    photo.save(tmp_path / "photo.jpg", quality=95)
    assert (tmp_path / "photo.jpg").stat().st_size > 1 << 20
    code, lines, errors = classify(server, "--json", str(tmp_path / "photo.jpg"))
    assert (code, errors) == (0, "")
    assert json.loads(lines)["digit"] == LABELS[6]


def test_an_inverted_picture_is_said_to_be(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(255 - IMAGES[0]))
    _, table, _ = classify(server, str(tmp_path))
    assert "inverted" in table


def test_an_unknown_model_is_one_line(server: RunningServer, pictures: Path) -> None:
    for model in ("nothing", "mlp:99"):
        code, table, errors = classify(server, "--model", model, str(pictures))
        assert (code, table) == (3, "")
        assert len(errors.splitlines()) == 1
        assert "NOT_FOUND" in errors


def test_a_dead_port_is_one_line(pictures: Path) -> None:
    done = run_command("gurmukhi.classify", "--target", "localhost:1", str(pictures))
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert "localhost:1: UNAVAILABLE" in done.stderr


@pytest.mark.parametrize("missing", ["nowhere.png", "empty"])
def test_a_missing_picture_ends_it_before_anything_is_asked(tmp_path: Path, missing: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run_command("gurmukhi.classify", "--target", "localhost:1", str(tmp_path / missing))
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert missing in done.stderr


@pytest.mark.parametrize("words", [(), ("--json", "--csv", "a"), ("--timeout", "0", "a")])
def test_a_wrong_use_is_64(words: tuple[str, ...]) -> None:
    done = run_command("gurmukhi.classify", *words)
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
