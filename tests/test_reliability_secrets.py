"""What is secret is in no log, no metric, no error and no listing of settings."""

import urllib.request
from pathlib import Path

import grpc
import pytest
from conftest import run_command, serving

from gurmukhi.client import DigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

IMAGES, _ = synthetic_digits(1, 90)
SECRET = "open-sesame-of-the-first"  # noqa: S105 - of this test
GUESS = "guess-of-a-stranger"


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_tokens_are_seen_nowhere(
    models: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], log_format: str
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{SECRET}\n")
    flags = ("--token-file", str(tokens), "--access-log", "1", "--log-format", log_format)
    errors = []
    with serving(models, *flags) as running:
        for token in (SECRET, GUESS):
            with DigitClient(running.target, token=token, retries=False) as client:
                try:
                    client.classify(IMAGES[0])
                    client.classify(IMAGES[0], model=f"{SECRET}?")
                except CallError as error:
                    errors.append(str(error))
        with grpc.insecure_channel(running.target) as channel:
            call = channel.unary_unary("/gurmukhi.v1.DigitService/Classify", None, None)
            with pytest.raises(grpc.RpcError) as spoiled:  # one that reads no request
                call(b"\xff", timeout=5, metadata=(("authorization", f"Bearer {SECRET}"),))
        url = f"http://127.0.0.1:{running.http_port}/metrics"
        page = urllib.request.urlopen(url, timeout=5).read().decode()
        tokens.write_text(f"{SECRET}\n\udcff\n", errors="surrogateescape")  # read again, damaged
    said = capfd.readouterr().err
    assert "UNAUTHENTICATED" in said  # the calls are in the log
    settings = run_command("server", "--print-config", "--token-file", str(tokens)).stdout
    assert str(tokens) in settings
    texts = (said, page, settings, errors[-1], str(spoiled.value))
    assert not [text for text in texts if SECRET in text or GUESS in text]
