"""TLS, tokens, logs, limits, flags and figures: what operators rely on."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from certificates import certificates
from conftest import ROOT, RunningServer, run_command, serving
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gurmukhi.client import DigitClient
from gurmukhi.command import Parser
from gurmukhi.errors import CallError
from gurmukhi.health import health_pb2, health_pb2_grpc
from gurmukhi.inference import open_inference_grpc_pb2 as pb
from gurmukhi.inference.open_inference_grpc_pb2_grpc import GRPCInferenceServiceStub
from gurmukhi.synthetic import synthetic_digits
from server.cpus import cpu_limit
from server.flags import add_arguments, flag_names

pytestmark = pytest.mark.usefixtures("front")

__all__ = ["certificates"]  # a fixture

IMAGES, _ = synthetic_digits(3, 81)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def credentials(folder: Path, client: str = "") -> grpc.ChannelCredentials:
    ca = (folder / "ca.pem").read_bytes()
    if not client:
        return grpc.ssl_channel_credentials(ca)
    pair = ((folder / f"{client}.key").read_bytes(), (folder / f"{client}.pem").read_bytes())
    return grpc.ssl_channel_credentials(ca, *pair)


def classify(running: RunningServer, given: grpc.ChannelCredentials | None = None) -> str:
    try:
        with DigitClient(
            running.target, credentials=given, timeout_seconds=3, retries=False
        ) as client:
            client.classify(IMAGES[0])
    except CallError as error:
        return error.code.name
    return "OK"


def test_tls_serves_those_who_trust_it_and_leaves_probes_plain(
    models: Path, certificates: Path
) -> None:
    flags = ("--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{certificates}/server.key")
    with serving(models, *flags) as running:
        assert classify(running, credentials(certificates)) == "OK"
        assert classify(running) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        with urllib.request.urlopen(f"{running.http}/readyz", timeout=5) as reply:
            assert reply.status == 200


def test_mutual_tls_refuses_a_stranger(models: Path, certificates: Path) -> None:
    flags = ("--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{certificates}/server.key")
    with serving(models, *flags, "--tls-client-ca", f"{certificates}/ca.pem") as running:
        assert classify(running, credentials(certificates, "client")) == "OK"
        for client in ("", "stranger"):
            refused = classify(running, credentials(certificates, client))
            assert refused in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_a_renewed_certificate_is_taken_up_without_a_restart(
    models: Path, certificates: Path, tmp_path: Path
) -> None:
    for part in ("pem", "key"):
        shutil.copy(certificates / f"server.{part}", tmp_path / f"tls.{part}")
    flags = ("--tls-cert", f"{tmp_path}/tls.pem", "--tls-key", f"{tmp_path}/tls.key")
    with serving(models, *flags) as running:
        address = ("127.0.0.1", running.grpc_port)
        first = ssl.get_server_certificate(address)
        for part in ("key", "pem"):
            shutil.copy(certificates / f"renewed.{part}", tmp_path / f"tls.{part}")
        until = time.monotonic() + 10
        while ssl.get_server_certificate(address) == first:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert classify(running, credentials(certificates)) == "OK"


def test_a_key_of_another_certificate_stops_the_start(models: Path, certificates: Path) -> None:
    done = run_command(
        *("server", "--models", str(models), "-q", "--port", "0", "--metrics-port", "0"),
        *("--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{certificates}/client.key"),
    )
    assert done.returncode == 4
    assert "no certificate with its key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_encrypted_key_stops_the_start_and_asks_nobody(
    models: Path, certificates: Path, tmp_path: Path
) -> None:
    words = ("-in", f"{certificates}/server.key", "-aes256", "-passout", "pass:secret")
    subprocess.run(
        ["openssl", "pkey", *words, "-out", tmp_path / "key"], check=True, capture_output=True
    )
    leader, follower = os.openpty()  # at a terminal it could ask
    command = [sys.executable, "-m", "server", "--models", str(models), "--check"]
    command += ["--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{tmp_path}/key"]
    done = subprocess.run(command, stdin=follower, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(leader)
    os.close(follower)
    assert done.returncode == 4
    assert b"no certificate with its key" in done.stderr


def test_tls_flags_go_together() -> None:
    assert run_command("server", "--tls-cert", "x").returncode == 64
    assert run_command("server", "--tls-client-ca", "x").returncode == 64


def test_a_token_opens_the_services_and_health_is_open(models: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    with serving(models, "--token-file", str(tokens)) as running:

        def code(token: str) -> str:
            with DigitClient(running.target, token=token, retries=False) as client:
                try:
                    client.classify(IMAGES[0])
                except CallError as error:
                    return error.code.name
            return "OK"

        assert [code(token) for token in ("first", "second")] == ["OK", "OK"]
        assert [code(token) for token in ("", "third", "firs")] == ["UNAUTHENTICATED"] * 3
        with grpc.insecure_channel(running.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), timeout=5)
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            question = reflection_pb2.ServerReflectionRequest(list_services="")
            metadata = (("authorization", "Bearer second"),)
            (told,) = reflection.ServerReflectionInfo(
                iter([question]), timeout=5, metadata=metadata
            )
            assert told.list_services_response.service
            with pytest.raises(grpc.RpcError) as refused:
                list(reflection.ServerReflectionInfo(iter([question]), timeout=5))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        tokens.write_text("third\n")
        time.sleep(1.2)
        assert [code(token) for token in ("first", "third")] == ["UNAUTHENTICATED", "OK"]


def test_an_empty_token_file_stops_the_start(models: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("\n")
    done = run_command(
        *("server", "--models", str(models), "-q", "--port", "0", "--metrics-port", "0"),
        *("--token-file", str(tmp_path / "tokens")),
    )
    assert done.returncode == 4
    assert "holds no token" in done.stderr


def test_a_compressed_message_is_refused_unless_asked_for(models: Path) -> None:
    def code(running: RunningServer) -> str:
        with grpc.insecure_channel(running.target, compression=grpc.Compression.Gzip) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive", None, None)
            try:
                call(b"", timeout=5)
                large = channel.unary_unary("/gurmukhi.v1.DigitService/Classify", None, None)
                large(bytes(3000), timeout=5)
            except grpc.RpcError as error:
                return str(getattr(error, "code")().name)  # noqa: B009 - as its stubs do not say
        return "OK"

    with serving(models) as running:
        assert code(running) == "UNIMPLEMENTED"
    with serving(models, "--compression") as running:
        assert code(running) == "INVALID_ARGUMENT"  # read, and no message


def logged(models: Path, folder: Path, *flags: str) -> list[str]:
    """Serve with standard error in a file, make three calls, one of them traced."""
    path = folder / "log"
    command = [sys.executable, "-m", "server", "--models", str(models), "--host", "127.0.0.1"]
    command += ["--port", "0", "--metrics-port", "0", *flags]
    with (
        path.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        port = re.search(r"gRPC on \S+:(\d+)", process.stdout.readline())
        assert port
        with grpc.insecure_channel(f"127.0.0.1:{port[1]}") as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive", None, None)
            for trace in (TRACE, "x y=z", "nothing"):
                call(b"", timeout=5, metadata=(("traceparent", trace),))
        process.terminate()
    return path.read_text().splitlines()


def test_json_logs_are_one_object_a_line_with_the_callers_trace(
    models: Path, tmp_path: Path
) -> None:
    lines = logged(models, tmp_path, "--log-format", "json", "--access-log", "1")
    entries = [json.loads(line) for line in lines]
    calls = [entry for entry in entries if entry["logger"] == "server.access"]
    assert [call.get("traceparent") for call in calls] == [TRACE, None, None]
    assert all(call["code"] == "OK" and call["milliseconds"] >= 0 for call in calls)
    assert {"draining", "stopped"} <= {entry["message"] for entry in entries}


def test_a_log_line_is_one_line_of_text_whatever_it_quotes(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a\n\x1b[31mb"
    shutil.copytree(models / "mlp", folder / "mlp")
    log = tmp_path / "log"
    command = [sys.executable, "-m", "server", "--models", str(folder), "--host", "127.0.0.1"]
    command += ["--port", "0", "--metrics-port", "0", "--model-control", "explicit"]
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, text=True) as process,
    ):
        assert process.stdout is not None
        port = re.search(r"gRPC on \S+:(\d+)", process.stdout.readline())
        assert port
        (folder / "mlp/1/golden.npz").unlink()
        with grpc.insecure_channel(f"127.0.0.1:{port[1]}") as channel:
            load = pb.RepositoryModelLoadRequest(model_name="mlp")
            with pytest.raises(grpc.RpcError):
                GRPCInferenceServiceStub(channel).RepositoryModelLoad(load, timeout=20)
        process.terminate()
    (line,) = [line for line in log.read_text().splitlines() if "not loaded" in line]
    assert r"a\n\x1b[31mb/mlp/1" in line


def test_the_access_log_takes_every_nth_call_and_none_by_default(
    models: Path, tmp_path: Path
) -> None:
    lines = logged(models, tmp_path, "--access-log", "3")
    assert sum("method=" in line for line in lines) == 1
    assert not any("method=" in line for line in logged(models, tmp_path))


def test_check_proves_a_repository_and_names_what_is_bad(models: Path, tmp_path: Path) -> None:
    good = run_command("server", "--models", str(models), "--check")
    assert good.returncode == 0
    assert "mlp/1: proven, sha256" in good.stdout
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models/svm-rbf/1/evaluation.json").write_text("{}")
    bad = run_command("server", "--models", str(tmp_path / "models"), "--check")
    assert bad.returncode == 4
    assert "svm-rbf/1: " in bad.stderr
    assert "mlp/1: proven" in bad.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--default-model", "nothing"), "--default-model nothing: is not there; has mlp, svm-"),
        (("--labels", "mlp:canary=9"), "no such version is to be served; of mlp there are 1"),
        (("--labels", "nothing:stable=1"), "of nothing there are none"),
        (("--version-policy", "specific:9"), "holds no model that is to be served"),
        (("--token-file", "{folder}/empty"), "holds no token"),
        (("--tls-cert", "{folder}/empty", "--tls-key", "{folder}/empty"), "no certificate with"),
    ],
)
def test_check_names_a_bad_setting(
    models: Path, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    (tmp_path / "empty").touch()
    given = [flag.replace("{folder}", str(tmp_path)) for flag in flags]
    done = run_command("server", "--models", str(models), "--check", *given)
    assert done.returncode == 4
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_check_proves_settings_that_are_good(
    models: Path, tmp_path: Path, certificates: Path
) -> None:
    (tmp_path / "tokens").write_text("a\n")
    done = run_command(
        *("server", "--models", str(models), "--check", "--labels", "mlp:stable=1"),
        *("--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{certificates}/server.key"),
        *("--token-file", f"{tmp_path}/tokens", "--default-model", "svm-rbf"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("goes with its key", "holds tokens", "mlp:stable=1: is there", "svm-rbf/1: pro"):
        assert word in done.stdout


def test_a_label_is_given_once() -> None:
    done = run_command("server", "--labels", "mlp:stable=1,mlp:stable=2", "--print-config")
    assert done.returncode == 64
    assert "mlp:stable is given twice" in done.stderr


def test_print_config_shows_every_setting_as_json() -> None:
    done = run_command(
        "server", "--print-config", "--threads", "7", environment={"GURMUKHI_QUEUE": "5"}
    )
    settings = json.loads(done.stdout)
    assert (settings["threads"], settings["queue"]) == (7, 5)


@pytest.mark.parametrize(
    "variable",
    ["GURMUKHI_MODEL_CONTROL", "GURMUKHI_LOG_FORMAT", "GURMUKHI_COMPRESSION", "GURMUKHI_LABELS"],
)
def test_a_bad_environment_variable_is_a_usage_error(variable: str) -> None:
    done = run_command("server", "--print-config", environment={variable: "so-so"})
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("50000 100000", 1), ("150000 100000", 2)]
)
def test_the_cpu_limit_is_the_containers(tmp_path: Path, text: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    allowed = len(os.sched_getaffinity(0))
    assert cpu_limit(tmp_path) == (allowed if expected is None else min(allowed, expected))


def test_the_guide_names_every_flag_and_every_metric(server: RunningServer) -> None:
    guide = (ROOT / "docs/operations.md").read_text()
    parser = Parser("gurmukhi-serve", "")
    add_arguments(parser, {})
    flags = {name for name in flag_names(parser) if name.startswith("--")} - {"--version"}
    assert {name for name in flags if f"`{name}`" not in guide} == set()
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as reply:
        exported = set(re.findall(r"^# TYPE (\w+)", reply.read().decode(), re.MULTILINE))
    ours = {name for name in exported if name.startswith(("gurmukhi_", "grpc_"))}
    documented = set(re.findall(r"`((?:gurmukhi|grpc)_\w+)`", guide))
    assert ours == documented


def test_promtool_finds_nothing_wrong_with_the_metrics(server: RunningServer) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=5) as reply:
        text = reply.read()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.slow
def test_a_real_prometheus_scrapes_the_server(server: RunningServer, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if not prometheus:
        pytest.skip("prometheus is not installed (Debian's package prometheus)")
    target = f"127.0.0.1:{server.http_port}"
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: g, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [prometheus, f"--config.file={tmp_path}/prometheus.yml"]
    command += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            query = f"http://127.0.0.1:{port}/api/v1/query?query=gurmukhi_model_info"
            found: list[object] = []
            until = time.monotonic() + 60
            while not found and time.monotonic() < until:
                time.sleep(0.5)
                try:
                    with urllib.request.urlopen(query, timeout=5) as reply:
                        found = json.load(reply)["data"]["result"]
                except OSError:
                    continue
        finally:
            process.terminate()
    assert len(found) >= 5
