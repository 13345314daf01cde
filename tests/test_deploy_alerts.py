"""Rules and dashboard: Prometheus takes them, each alert is tried, every metric is exported."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("yaml")

import yaml
from deploying import DEPLOY, run_promtool
from prometheus_client import CollectorRegistry

from evaluator import push
from server.metrics import ServerMetrics
from server.serve import _load_counter

MONITORING: Final = DEPLOY / "components" / "monitoring"
_NAME: Final = re.compile(r"\b(?:grpc_server|gurmukhi)_[a-z0-9_]+")


def rule_groups() -> list[dict[str, Any]]:
    """The groups of the PrometheusRule, as Prometheus itself reads them."""
    manifest = yaml.safe_load((MONITORING / "rules.yaml").read_text(encoding="utf-8"))
    groups: list[dict[str, Any]] = manifest["spec"]["groups"]
    return groups


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with the rules in Prometheus's own form, and their unit tests beside them."""
    text = yaml.safe_dump({"groups": rule_groups()})
    (tmp_path / "rules.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "rules-test.yaml").write_bytes((MONITORING / "rules-test.yaml").read_bytes())
    return tmp_path


def test_prometheus_takes_the_rules(rules: Path) -> None:
    done = run_promtool("check", "rules", "rules.yaml", folder=rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should(rules: Path) -> None:
    done = run_promtool("test", "rules", "rules-test.yaml", folder=rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_tests_find_a_changed_threshold(rules: Path) -> None:
    text = (rules / "rules.yaml").read_text(encoding="utf-8")
    assert "14.4 * 0.001" in text
    (rules / "rules.yaml").write_text(text.replace("14.4 *", "0.4 *"), encoding="utf-8")
    assert run_promtool("test", "rules", "rules-test.yaml", folder=rules).returncode == 1


def test_each_alert_is_tried_both_ways() -> None:
    """At one time it fires, at another it does not."""
    tests = yaml.safe_load((MONITORING / "rules-test.yaml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    alerts = {
        rule["alert"] for group in rule_groups() for rule in group["rules"] if "alert" in rule
    }
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


def test_each_alert_says_what_to_do() -> None:
    for rule in (rule for group in rule_groups() for rule in group["rules"] if "alert" in rule):
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_rules_and_dashboard_name_only_metrics_that_are_exported() -> None:
    exported = _server_metrics() | _evaluator_metrics()
    queries = [rule["expr"] for group in rule_groups() for rule in group["rules"]]
    queries += _dashboard_queries()
    used = {name for query in queries for name in _NAME.findall(query)}
    assert used <= exported, f"nobody exports {sorted(used - exported)}"
    # Nothing that the server measures is shown nowhere.
    bare = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in used}
    shown = {"grpc_server_started"}  # as handled, but for those under way, which have a gauge
    families = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in _server_metrics()}
    assert families - bare == shown


def test_recorded_names_are_recorded() -> None:
    recorded = {
        rule["record"] for group in rule_groups() for rule in group["rules"] if "record" in rule
    }
    queries = [rule["expr"] for group in rule_groups() for rule in group["rules"]]
    used = {
        name
        for query in [*queries, *_dashboard_queries()]
        for name in re.findall(r"gurmukhi:[a-z0-9_:]+", query)
    }
    assert used <= recorded


def test_the_services_that_are_watched_exist() -> None:
    from gurmukhi.inference import open_inference_grpc_pb2 as inference
    from gurmukhi.v1 import digits_pb2 as digits

    names = {*inference.DESCRIPTOR.services_by_name, *digits.DESCRIPTOR.services_by_name}
    text = (MONITORING / "rules.yaml").read_text(encoding="utf-8") + " ".join(_dashboard_queries())
    for matcher in re.findall(r'grpc_service=~"([^"]*)"', text):
        assert {name.rpartition(".")[2] for name in matcher.split("|")} <= names


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    """As recording rules, since promtool checks those without a server."""
    ranges = [query.replace("$__rate_interval", "5m") for query in _dashboard_queries()]
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(ranges)]
    content = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    done = run_promtool("check", "rules", "queries.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def _dashboard() -> dict[str, Any]:
    text = (MONITORING / "dashboard.json").read_text(encoding="utf-8")
    dashboard: dict[str, Any] = json.loads(text)
    return dashboard


def _dashboard_queries() -> list[str]:
    return [
        target["expr"] for panel in _dashboard()["panels"] for target in panel.get("targets", [])
    ]


def _server_metrics() -> set[str]:
    registry = CollectorRegistry()
    ServerMetrics(registry)
    _load_counter(registry)
    names: set[str] = set()
    for family in registry.collect():
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return names


def _evaluator_metrics() -> set[str]:
    """The names that the push module gives its samples."""
    model = {
        "name": "mlp",
        "version": "1",
        "served": {"count": 1, "correct": 1, "differing": 0},
        "latency_seconds": {"p99": 0.001},
    }
    record: Any = {
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "exit_code": 0,
        "calls": {"answered": 1},
        "models": [model],
        "data": {"source": "real"},
    }
    return set(re.findall(r"^# TYPE (\S+)", push.render_metrics(record), re.MULTILINE))
