"""What the flags of `gurmukhi-evaluate` may say."""

from pathlib import Path

import pytest

from evaluator.__main__ import main
from evaluator.addresses import AddressError, find_addresses
from evaluator.flags import Config, make_parser, read_config


def config_of(*flags: str) -> Config:
    parser = make_parser()
    return read_config(parser, parser.parse_args(flags), flags)


@pytest.mark.parametrize(
    "flags",
    [
        ["--latency-budget", "p98=5ms"],
        ["--latency-budget", "p99=5"],
        ["--latency-budget", "p99=0ms"],
        ["--only", "labels,lables"],
        ["--skip", "reach"],
        ["--profile", "weekly"],
        ["--profile", "conformance"],
        ["--metrics", "file:///etc/passwd"],
        ["--pushgateway", "localhost:9091"],
        ["--update-baseline"],
        ["--accept"],
        ["--concurrency", "0"],
        ["--rate", "-1"],
        ["--allow-lost", "-1"],
        ["--baseline", "history.sqlite", "--update-baseline"],
    ],
)
def test_flag_that_is_wrong_is_exit_64_in_one_line_that_names_it(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 64
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert any(flag in said for flag in flags if flag.startswith("--"))


@pytest.mark.parametrize("command", [[], ["compare"], ["history"]])
def test_help_shows_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "model", "quantile", "seconds"),
    [
        ("p99=5ms", "", "p99", 0.005),
        ("mlp:p50=250us", "mlp", "p50", 0.00025),
        ("svm-rbf:2:p99.9=1.5s", "svm-rbf:2", "p99.9", 1.5),
    ],
)
def test_budget_is_read(text: str, model: str, quantile: str, seconds: float) -> None:
    (budget,) = config_of("--latency-budget", text).settings.budgets
    assert (budget.model, budget.quantile) == (model, quantile)
    assert budget.seconds == pytest.approx(seconds)


def test_only_and_skip_choose_checks_and_keep_the_order_and_the_base() -> None:
    assert config_of("--only", "load,labels").settings.checks == ("reach", "data", "labels", "load")
    chosen = config_of("--profile", "quick", "--skip", "apis").settings.checks
    assert chosen[:5] == ("reach", "model", "data", "labels", "accuracy")
    assert "apis" not in chosen


def test_addresses_come_from_a_list_once_each_in_order() -> None:
    assert find_addresses("b:1, a:2,b:1,[::1]:3") == ["b:1", "a:2", "[::1]:3"]


@pytest.mark.parametrize("target", ["", ",", "host", "host:0", "host:99999", "a b:1", "h:1,x"])
def test_address_without_host_and_port_is_named(target: str) -> None:
    with pytest.raises(AddressError, match="--target") as raised:
        find_addresses(target)
    assert raised.value.exit_code == 64


def test_empty_file_of_addresses_is_named(tmp_path: Path) -> None:
    listing = tmp_path / "replicas"
    listing.write_text("# none yet\n", encoding="utf-8")
    with pytest.raises(AddressError, match="names no address"):
        find_addresses(str(listing))
