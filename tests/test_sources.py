"""The data set is found in the stated order, and synthetic digits never pass for real ones."""

import io
import logging
import os
import urllib.error
import urllib.request
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_folders import write_folder

from gurmukhi.dataset import PUBLISHED_SHA256
from gurmukhi.errors import DataError
from gurmukhi.sources import FolderSource, SyntheticSource, find_source


def cache_of(environment: dict[str, str]) -> Path:
    """The folder into which the published archives are fetched."""
    return next(Path(environment["XDG_CACHE_HOME"]).glob("gurmukhi-digits/*"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing set but a cache of our own."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


class Home:
    """The public home of the data set, as urllib sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.timeouts: list[float] = []

    def open(self, address: str, *, timeout: float) -> io.BytesIO:
        self.timeouts.append(timeout)
        return io.BytesIO((self.folder / address.rpartition("/")[2]).read_bytes())


def test_a_folder_is_local_and_named(tmp_path: Path) -> None:
    source = find_source(str(write_folder(tmp_path)), {})
    assert (source.kind, source.location) == ("local", str(tmp_path))
    assert len(source.split("test")) == 20


def test_the_published_archives_are_real(real_folder: Path) -> None:
    assert find_source(str(real_folder), {}).kind == "real"
    assert find_source(None, {"GURMUKHI_DATA_DIR": str(real_folder)}).kind == "real"


def test_the_environment_comes_before_the_cache(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["GURMUKHI_DATA_DIR"] = str(write_folder(tmp_path / "mine"))
    assert find_source(None, environment).location == str(tmp_path / "mine")


@pytest.mark.parametrize("spec", [None, "real"])
def test_an_environment_that_names_no_folder_is_an_error(tmp_path: Path, spec: str | None) -> None:
    (tmp_path / "file").write_text("")
    for name, message in (("nowhere", "no such folder"), ("file", "is a file, not a folder")):
        with pytest.raises(DataError, match=f"GURMUKHI_DATA_DIR=.*{name}: {message}"):
            find_source(spec, {"GURMUKHI_DATA_DIR": str(tmp_path / name)})


@pytest.mark.usefixtures("no_network")
def test_without_network_the_automatic_source_is_synthetic_and_says_so(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="gurmukhi"):
        source = find_source(None, environment)
    assert source.kind == "synthetic"
    assert "using SYNTHETIC digits" in caplog.text


@pytest.mark.usefixtures("no_network")
def test_without_network_the_real_source_is_an_error(environment: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"neither in \$GURMUKHI_DATA_DIR .* could not be fetched"):
        find_source("real", environment)


@pytest.mark.parametrize("error", [IncompleteRead(b""), TimeoutError("slow"), OSError("down")])
def test_a_failed_download_falls_back_and_leaves_no_cache(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    assert find_source(None, environment).kind == "synthetic"
    assert not Path(environment["XDG_CACHE_HOME"]).exists()


def test_a_download_with_another_sha256_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in PUBLISHED_SHA256:
        (tmp_path / name).write_bytes(b"something else")
    monkeypatch.setattr(urllib.request, "urlopen", Home(tmp_path).open)
    with pytest.raises(DataError, match=r"train\.zip: sha256 is .*, expected"):
        find_source("real", environment)
    assert not Path(environment["XDG_CACHE_HOME"]).exists()


def test_the_public_home_fills_the_cache_once(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, real_folder: Path
) -> None:
    home = Home(real_folder)
    monkeypatch.setattr(urllib.request, "urlopen", home.open)
    assert find_source(None, environment).kind == "real"
    source = find_source(None, environment)
    assert source.kind == "real"
    assert len(source.split("test")) == 178
    assert len(home.timeouts) == 2  # an archive each, all of them with a deadline
    assert all(0 < seconds < 30 for seconds in home.timeouts)
    assert sorted(path.name for path in cache_of(environment).iterdir()) == ["train.zip", "val.zip"]


def test_a_damaged_cache_is_named(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, real_folder: Path
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", Home(real_folder).open)
    source = find_source(None, environment)
    archive = cache_of(environment) / "val.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"val\.zip: not a readable zip archive"):
        source.split("test")


@pytest.mark.usefixtures("no_network")
def test_a_user_without_a_home_gets_a_cache_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: str) -> str:
        return "~"  # what it returns for a user of whom nothing is known

    monkeypatch.setattr(os.path, "expanduser", homeless)
    assert find_source(None, {}).kind == "synthetic"


def test_synthetic_splits_are_as_large_as_the_real_ones() -> None:
    source = find_source("synthetic", {})
    assert [len(source.split("train")), len(source.split("test"))] == [1000, 178]


def test_synthetic_splits_share_no_image_and_are_in_the_order_of_classes() -> None:
    source = SyntheticSource(200)
    train, test = source.split("train"), source.split("test")
    assert not {image.tobytes() for image in train.images} & {
        image.tobytes() for image in test.images
    }
    assert np.array_equal(train.labels, np.sort(train.labels))
    assert train.sha256 == SyntheticSource(200).split("train").sha256


@pytest.mark.parametrize("count", ["5", "0", "-20", "abc", "", "1e3", "100001", "9" * 5000, "٢٠"])
def test_a_bad_count_of_synthetic_digits_is_refused(count: str) -> None:
    with pytest.raises(DataError, match="expected synthetic:N with a whole number N of 10 to"):
        find_source(f"synthetic:{count}", {})


def test_a_count_of_synthetic_digits_is_kept() -> None:
    assert find_source("synthetic:20", {}) == SyntheticSource(20)
    assert len(SyntheticSource(20).split("train")) == 20


def test_a_folder_source_reads_when_it_is_asked(tmp_path: Path) -> None:
    source = FolderSource(tmp_path / "later")
    write_folder(tmp_path / "later")
    assert len(source.split("train")) == 20
