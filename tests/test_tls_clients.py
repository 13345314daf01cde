"""The commands that call a server do so over TLS, mutual TLS and with a token."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from certificates import certificates
from conftest import RunningServer, run_command, serving
from data_folders import encode

from gurmukhi.client import AsyncDigitClient
from gurmukhi.errors import CallError
from gurmukhi.synthetic import synthetic_digits

__all__ = ["certificates"]  # a fixture

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "token"
    path.write_text("sesame\nspare\n")
    return path


@pytest.fixture(scope="module")
def closed(models: Path, certificates: Path, token: Path, front: str) -> Iterator[RunningServer]:
    """A server that wants everything: TLS, a client's certificate, a token."""
    flags = [*pair_of(certificates, "server"), "--tls-client-ca", f"{certificates}/ca.pem"]
    with serving(models, *flags, "--token-file", str(token), "--front", front) as running:
        yield running


@pytest.fixture(scope="module")
def named(models: Path, certificates: Path, front: str) -> Iterator[RunningServer]:
    """A server whose certificate is of `digits.example`, a name that leads nowhere."""
    with serving(models, *pair_of(certificates, "named"), "--front", front) as running:
        yield running


def address(running: RunningServer) -> str:
    """One address: `localhost` may be two, and the error is of whichever was tried last."""
    return f"127.0.0.1:{running.grpc_port}"


def pair_of(folder: Path, name: str) -> list[str]:
    return ["--tls-cert", f"{folder}/{name}.pem", "--tls-key", f"{folder}/{name}.key"]


@pytest.fixture
def evaluate(models: Path, tmp_path: Path) -> Ask:
    def run(*flags: str) -> tuple[int, str, str]:
        subject = ("--models", str(models), "--data", "synthetic", "--model", "svm-linear:1")
        words = (*subject, "--profile", "quick", "--report", str(tmp_path / "report"))
        done = run_command("evaluator", *words, *flags)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def classify(tmp_path: Path) -> Ask:
    def run(*flags: str) -> tuple[int, str, str]:
        picture = tmp_path / "digit.png"
        picture.write_bytes(encode(synthetic_digits(1, 1)[0][0]))
        done = run_command("gurmukhi.classify", str(picture), *flags)
        return done.returncode, done.stdout, done.stderr

    return run


def test_every_replica_is_dialled_with_tls_certificate_and_token(
    closed: RunningServer, certificates: Path, token: Path, evaluate: Ask, tmp_path: Path
) -> None:
    both = f"{closed.target},{address(closed)}"
    trust = ("--tls-ca", f"{certificates}/ca.pem", *pair_of(certificates, "client"))
    # The counters are read over plain HTTP, as everywhere.
    more = ("--only", "labels,apis,replicas,metrics", "--metrics", f"{closed.http}/metrics")
    code, shown, _ = evaluate("--target", both, *trust, "--token-file", str(token), *more)
    assert code == 0, shown
    record = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    passed = {one["check"] for one in record["checks"] if one["outcome"] == "pass"}
    assert passed >= {"labels", "apis", "replicas", "metrics"}


def test_servers_are_compared_over_tls(
    closed: RunningServer, certificates: Path, token: Path, models: Path, tmp_path: Path
) -> None:
    trust = ("--tls-ca", f"{certificates}/ca.pem", *pair_of(certificates, "client"))
    subject = ("--models", str(models), "--data", "synthetic", "--model", "svm-linear:1")
    sides = (closed.target, address(closed), "--report", str(tmp_path))
    done = run_command("evaluator", "compare", *sides, *subject, *trust, "--token-file", str(token))
    assert "verdict: promote" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ca", "client", "given", "said"),
    [
        ("other", "client", "sesame", "the server's certificate is not trusted"),
        ("ca", "stranger", "sesame", "a certificate that it trusts"),
        ("ca", "", "sesame", "a certificate that it trusts"),
        ("ca", "client", "mustard", "UNAUTHENTICATED: a valid bearer token is needed"),
        ("ca", "client", "", "UNAUTHENTICATED: a valid bearer token is needed"),
        ("", "", "sesame", "it may want TLS"),
    ],
)
def test_what_the_server_lacks_is_exit_3_and_one_clear_line(
    ca: str,
    client: str,
    given: str,
    said: str,
    closed: RunningServer,
    certificates: Path,
    evaluate: Ask,
    classify: Ask,
    tmp_path: Path,
) -> None:
    (tmp_path / "given").write_text(given)
    flags = ["--target", address(closed)]
    flags += ["--tls-ca", f"{certificates}/{ca}.pem"] if ca else []
    flags += pair_of(certificates, client) if client else []
    flags += ["--token-file", f"{tmp_path}/given"] if given else []
    code, shown, errors = evaluate(*flags, "-q")
    assert (code, errors) == (3, "")
    (reached,) = [line for line in shown.splitlines() if line.startswith("✗ reach")]
    assert said in reached
    code, shown, errors = classify(*flags)
    assert (code, shown, errors.count("\n")) == (3, "", 1)
    assert said in errors


def test_certificate_of_another_name_is_refused_until_the_name_is_given(
    named: RunningServer, certificates: Path, evaluate: Ask, classify: Ask
) -> None:
    flags = ("--target", address(named), "--tls-ca", f"{certificates}/ca.pem")
    for ask in (evaluate, classify):
        code, shown, errors = ask(*flags)
        assert code == 3
        assert "certificate is of another name" in shown + errors
        code, shown, errors = ask(*flags, "--tls-server-name", "digits.example")
        assert code == 0, shown + errors


def test_asyncio_client_expects_the_name_that_it_is_given(
    named: RunningServer, certificates: Path
) -> None:
    async def classify(server_name: str) -> int:
        trust = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())
        async with AsyncDigitClient(
            address(named), credentials=trust, server_name=server_name, retries=False
        ) as client:
            return (await client.classify(synthetic_digits(1, 1)[0][0])).digit

    assert asyncio.run(classify("digits.example")) in range(10)
    with pytest.raises(CallError, match="certificate is of another name"):
        asyncio.run(classify(""))


def test_replicas_behind_a_name_are_expected_to_be_of_that_name(
    models: Path, certificates: Path, evaluate: Ask, tmp_path: Path
) -> None:
    # Its certificate is of localhost, and of no address that localhost has.
    pair = pair_of(certificates, "local")
    with serving(models, "--host", "localhost", *pair) as running:
        trust = ("--tls-ca", f"{certificates}/ca.pem", "--only", "labels")
        code, shown, _ = evaluate("--target", f"dns:///localhost:{running.grpc_port}", *trust)
        assert code == 0, shown
        record = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
        assert "localhost" not in record["target"]
        code, shown, _ = evaluate("--target", address(running), *trust)
        assert (code, "certificate is of another name" in shown) == (3, True)


def test_tls_to_a_server_without_it_is_exit_3(
    server: RunningServer, certificates: Path, evaluate: Ask
) -> None:
    code, shown, _ = evaluate("--target", address(server), "--tls-ca", f"{certificates}/ca.pem")
    assert code == 3
    assert "the server speaks no TLS" in shown


@pytest.mark.parametrize(
    "flags",
    [
        ("--tls-cert", "x", "--tls-ca", "x"),
        ("--tls-key", "x", "--tls-ca", "x"),
        ("--tls-cert", "x", "--tls-key", "x"),
        ("--tls-server-name", "x"),
    ],
)
@pytest.mark.parametrize("words", [("evaluator",), ("evaluator", "compare", "a:1", "b:1")])
def test_flags_that_do_not_go_together_are_exit_64(
    words: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    done = run_command(*words, *flags)
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
    assert "--tls-" in done.stderr


@pytest.mark.parametrize(
    ("flag", "text", "said"),
    [
        ("--tls-ca", None, "cannot be read (No such file or directory)"),
        ("--tls-ca", "no PEM", "no certificate of a CA"),
        ("--token-file", None, "cannot be read (No such file or directory)"),
        ("--token-file", "\n", "holds no token"),
        ("--token-file", "ੴ", "not ASCII"),
    ],
)
def test_file_that_is_of_no_use_is_exit_4_and_named(
    flag: str, text: str | None, said: str, classify: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    code, _, errors = classify(flag, str(path))
    assert (code, errors.count("\n")) == (4, 1)
    assert f"{flag} {path}: " in errors
    assert said in errors


def test_key_of_another_certificate_is_exit_4(certificates: Path, classify: Ask) -> None:
    pair = ("--tls-cert", f"{certificates}/client.pem", "--tls-key", f"{certificates}/server.key")
    code, _, errors = classify("--tls-ca", f"{certificates}/ca.pem", *pair)
    assert code == 4
    assert "no certificate with its key" in errors


def test_encrypted_key_is_exit_4_and_no_password_is_asked(
    certificates: Path, classify: Ask, tmp_path: Path
) -> None:
    key = tmp_path / "client.key"
    words = ("rsa", "-aes256", "-passout", "pass:sesame", "-in", f"{certificates}/client.key")
    subprocess.run(["openssl", *words, "-out", str(key)], check=True, capture_output=True)
    pair = ("--tls-cert", f"{certificates}/client.pem", "--tls-key", str(key))
    code, _, errors = classify("--tls-ca", f"{certificates}/ca.pem", *pair)
    assert (code, errors.count("\n")) == (4, 1)
    assert "is encrypted" in errors
