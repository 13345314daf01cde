"""What a server in Envoy logs of calls that go well: nothing."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import serving
from PIL import Image

from gurmukhi.client import DigitClient
from gurmukhi.synthetic import synthetic_digits


def test_pictures_that_are_read_leave_no_error_in_the_log(
    models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = io.BytesIO()
    Image.fromarray(synthetic_digits(1, 0)[0][0]).save(file, "PNG")
    with serving(models, "--front", "envoy") as running, DigitClient(running.target) as client:
        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(client.classify, [file.getvalue()] * 40))
        assert len({answer.digit for answer in answers}) == 1
    assert "ERROR" not in capfd.readouterr().err
