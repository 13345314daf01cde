"""The manifests agree with the commands they run, with one another, and with our policy."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("yaml")

import yaml
from deploying import (
    DEPLOY,
    RENDERED,
    Manifest,
    containers,
    find,
    pod_specs,
    render,
    server_environment,
)

from evaluator.flags import make_parser as make_evaluator_parser
from evaluator.flags import read_config
from gurmukhi.command import Parser
from server.config import ServerConfig
from server.flags import add_arguments, flag_names
from server.health import HealthService
from server.process import _statuses
from server.supervisor import _END_SECONDS
from trainer.flags import add_fit_flags

OVERLAYS: Final = tuple(place for place in RENDERED if not place.startswith("kserve"))


def server_config(place: str) -> ServerConfig:
    """What the server makes of its environment, or under KServe of its arguments."""
    if place.startswith("kserve"):
        arguments, environment = find(place, "ServingRuntime")["spec"]["containers"][0]["args"], {}
    else:
        arguments, environment = [], server_environment(place)
    parser = Parser("gurmukhi-serve", "")
    add_arguments(parser, environment)
    unknown = {
        name
        for name in environment
        if f"--{name.removeprefix('GURMUKHI_').lower().replace('_', '-')}"
        not in [*flag_names(parser), *(f.replace("--no-", "--") for f in flag_names(parser))]
    }
    assert not unknown, f"{place}: no such flags: {unknown}"
    return ServerConfig.from_arguments(parser, parser.parse_args(arguments))


@pytest.mark.parametrize("place", RENDERED)
def test_the_servers_flags_exist(place: str) -> None:
    config = server_config(place)
    assert config.pause_seconds > 0
    assert str(config.models).startswith("/")


def test_the_server_takes_kserves_arguments() -> None:
    """What KServe's own runtimes for a format pass to their servers."""
    parser = Parser("gurmukhi-serve", "")
    add_arguments(parser, {})
    given = parser.parse_args(["--model_dir=/mnt/models", "--grpc_port=9000", "--http_port=8080"])
    config = ServerConfig.from_arguments(parser, given)
    assert (str(config.models), config.port, config.metrics_port) == ("/mnt/models", 9000, 8080)


@pytest.mark.parametrize("place", OVERLAYS)
def test_the_evaluators_flags_exist(place: str) -> None:
    pod = dict(pod_specs(place))["CronJob/gurmukhi-evaluator"]
    arguments = pod["containers"][0]["args"]
    parser = make_evaluator_parser()
    # The CA's file is not here; which one it is, another test asks.
    plain = [word for word in arguments if not word.startswith("--tls-")]
    assert (plain != arguments) == ("tls" in place)
    config = read_config(parser, parser.parse_args(plain), arguments)
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert config.data == mounts["data"]  # so that a missing test set is exit 4
    assert str(config.models).startswith(mounts["models"])
    assert config.target == "dns:///gurmukhi-server-headless:8001"  # so that all are checked
    # Each replica's counters, on the port that the server opens and the policy lets through.
    url = f"http://{{host}}:{server_config(place).metrics_port}/metrics"
    assert config.settings.metrics_url == url
    assert config.history == Path(mounts["history"], "history.sqlite")
    assert config.models == server_config(place).models


def test_the_trainers_flags_exist() -> None:
    pod = dict(pod_specs("overlays/local"))["Job/gurmukhi-trainer"]
    command, *arguments = pod["containers"][0]["args"]
    assert command == "fit"
    parser = Parser("gurmukhi-train fit", "")
    add_fit_flags(parser)
    given = parser.parse_args(arguments)
    assert (str(given.models), given.data) == ("/models", "/data")


def test_every_rendered_place_has_its_component() -> None:
    """A component that no test renders would rot."""
    folders = {path.parent.name for path in (DEPLOY / "components").glob("*/kustomization.yaml")}
    assert folders == {place.partition("+")[2] for place in RENDERED if "+" in place}


@pytest.mark.parametrize("place", RENDERED)
def test_probes_name_health_that_exists(place: str) -> None:
    names = _statuses([HealthService.name], [], {})
    for owner, pod in pod_specs(place):
        for container in pod["containers"]:
            probes = {key: value for key, value in container.items() if key.endswith("Probe")}
            if "Deployment" in owner or "ServingRuntime" in owner:
                assert {"livenessProbe", "readinessProbe"} <= set(probes)
            for kind, probe in probes.items():
                if "httpGet" in probe:
                    path = "/readyz" if kind == "readinessProbe" else "/livez"
                    assert probe["httpGet"] == {"path": path, "port": "http"}
                    continue
                assert probe["grpc"]["service"] in names
                assert probe["grpc"]["port"] == server_config(place).port
                # A drain turns "" to NOT_SERVING: a liveness probe of it would kill the pod.
                assert (probe["grpc"]["service"] == "") == (kind == "readinessProbe")


@pytest.mark.parametrize("place", RENDERED)
def test_tls_and_grpc_probes_exclude_each_other(place: str) -> None:
    has_tls = server_config(place).tls is not None
    assert has_tls == ("tls" in place)
    text = str([pod for _, pod in pod_specs(place)])
    assert has_tls != ("'grpc': {'port'" in text)


@pytest.mark.parametrize("place", RENDERED)
def test_a_drain_ends_before_the_grace_period(place: str) -> None:
    config = server_config(place)
    if place.startswith("kserve"):
        predictor = find(place, "InferenceService")["spec"]["predictor"]
        # Knative refuses the field, and takes the time-out of a request: 300 s by default.
        assert ("terminationGracePeriodSeconds" in predictor) == (place == "kserve/standard")
        grace = predictor.get("terminationGracePeriodSeconds", 300)
        sleep, probe = 0, find(place, "ServingRuntime")["spec"]["containers"][0]["readinessProbe"]
    else:
        pod = dict(pod_specs(place))["Deployment/gurmukhi-server"]
        grace, container = pod["terminationGracePeriodSeconds"], pod["containers"][0]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        probe = container["readinessProbe"]
    assert sleep + config.pause_seconds + config.drain_seconds + _END_SECONDS < grace
    # The pause outlasts what readiness needs to notice, so no call meets a closed port.
    assert probe["periodSeconds"] * probe["failureThreshold"] <= sleep + config.pause_seconds


@pytest.mark.parametrize("place", RENDERED)
def test_ports_are_those_that_the_server_opens(place: str) -> None:
    config = server_config(place)
    spec = dict(pod_specs(place)).get("Deployment/gurmukhi-server")
    if spec is None:
        (port,) = find(place, "ServingRuntime")["spec"]["containers"][0]["ports"]
        assert port["containerPort"] == config.port
        assert port["name"] == ("h2c" if "knative" in place else "grpc-port")
        return
    ports = {one["name"]: one["containerPort"] for one in spec["containers"][0]["ports"]}
    assert ports == {"grpc": config.port, "http": config.metrics_port}
    policy = find(place, "NetworkPolicy", "gurmukhi-server")["spec"]
    opened = [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    assert opened == [config.port, config.metrics_port]
    assert policy["egress"] == []


def test_only_a_target_that_cannot_be_reached_is_tried_again() -> None:
    job = find("overlays/local", "CronJob")["spec"]["jobTemplate"]["spec"]
    ignore, fail = job["podFailurePolicy"]["rules"]
    assert ignore["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"]["operator"] == "NotIn"
    assert fail["onExitCodes"]["values"] == [3]
    container = job["template"]["spec"]["containers"][0]
    assert fail["onExitCodes"]["containerName"] == container["name"]
    assert job["backoffLimit"] > 0


@pytest.mark.parametrize("place", [place for place in OVERLAYS if "tls" in place])
def test_the_nightly_run_trusts_the_servers_certificate(place: str) -> None:
    pod = dict(pod_specs(place))["CronJob/gurmukhi-evaluator"]
    given = make_evaluator_parser().parse_args(pod["containers"][0]["args"])
    mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert given.tls_ca == Path(mounts["tls"], "ca.crt")
    certificate = find(place, "Certificate", "gurmukhi-server")["spec"]
    # dns:/// dials addresses, which no certificate has.
    assert given.tls_server_name in certificate["dnsNames"]
    (secret,) = (one["secret"] for one in pod["volumes"] if one["name"] == "tls")
    assert secret["secretName"] == certificate["secretName"]
    assert [one["key"] for one in secret["items"]] == ["ca.crt"]  # and not the server's key


@pytest.mark.parametrize("place", RENDERED)
def test_pods_keep_to_the_policy(place: str) -> None:
    """The restricted Pod Security Standard, and what it leaves out."""
    for owner, pod in pod_specs(place):
        for container in containers(pod):
            broken = sorted(_broken(owner, pod, container))
            assert not broken, f"{owner} {container['name']}: {broken}"


def _broken(owner: str, pod: Manifest, container: Manifest) -> set[str]:
    own: dict[str, Any] = {**pod.get("securityContext", {}), **container["securityContext"]}
    resources, image = container["resources"], container["image"]
    rules = {
        "runs as root": not own.get("runAsNonRoot") or own.get("runAsUser", 0) == 0,
        "root file system is written to": not own.get("readOnlyRootFilesystem"),
        "may gain privileges": own.get("allowPrivilegeEscalation") is not False,
        "keeps capabilities": own.get("capabilities") != {"drop": ["ALL"]},
        "no seccomp profile": own.get("seccompProfile") != {"type": "RuntimeDefault"},
        "is privileged": bool(own.get("privileged")),
        "no requests": {"cpu", "memory"} - set(resources.get("requests", {})) != set(),
        "no limits": {"cpu", "memory"} - set(resources.get("limits", {})) != set(),
        "latest image": image.endswith(":latest"),
        "host namespaces": any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
        "host path": any("hostPath" in volume for volume in pod.get("volumes", [])),
        "emptyDir without limit": any(
            "sizeLimit" not in volume["emptyDir"]
            for volume in pod.get("volumes", [])
            if "emptyDir" in volume
        ),
        # A ServingRuntime cannot say it; the InferenceService does.
        "service-account token": "ServingRuntime" not in owner
        and pod.get("automountServiceAccountToken") is not False,
        "default service account": "ServingRuntime" not in owner
        and pod.get("serviceAccountName", "default") == "default",
        "models can be written": "trainer" not in owner
        and container["name"] != "models"
        and not all(
            mount.get("readOnly")
            for mount in container["volumeMounts"]
            if mount["name"] in ("models", "data", "tls")
        ),
    }
    return {name for name, is_broken in rules.items() if is_broken}


@pytest.mark.parametrize("place", OVERLAYS)
def test_selectors_find_the_pods(place: str) -> None:
    labels = find(place, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for one in render(place):
        spec = one.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector") or {}
        wanted = selector.get("matchLabels", selector)
        if one["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor", "Deployment"):
            assert wanted.items() <= labels.items(), one["metadata"]["name"]


@pytest.mark.parametrize("place", OVERLAYS)
def test_mounted_names_exist(place: str) -> None:
    """Claims, config maps and accounts are rendered too, but for what an operator makes."""
    names = {(one["kind"], one["metadata"]["name"]) for one in render(place)}
    for _, pod in pod_specs(place):
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for volume in pod.get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
            if config := volume.get("configMap"):
                assert config["name"] == "gurmukhi-data"
                assert config["optional"]
            if secret := volume.get("secret"):
                made = {one["spec"].get("secretName") for one in render(place) if _is_tls(one)}
                assert secret["secretName"] in made


def _is_tls(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "Certificate")


def test_no_traffic_is_let_through_by_default() -> None:
    policy = find("base", "NetworkPolicy", "default-deny")["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_autoscaler_owns_the_replicas() -> None:
    assert "replicas" not in find("local+hpa", "Deployment")["spec"]
    scaler = find("local+hpa", "HorizontalPodAutoscaler")["spec"]
    metrics = [metric for metric in scaler["metrics"] if metric["type"] == "Pods"]
    (rule,) = yaml.safe_load((DEPLOY / "components/hpa/adapter-rule.yaml").read_text("utf-8"))
    assert [metric["pods"]["metric"]["name"] for metric in metrics] == [rule["name"]["as"]]
    assert re.findall(r"gurmukhi_\w+", rule["metricsQuery"]) == [
        "gurmukhi_queue_duration_seconds_sum",
        "gurmukhi_queue_duration_seconds_count",
    ]
