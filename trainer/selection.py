"""Read and write `selected.json`: the configurations of version 2 and why they were chosen."""

import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gurmukhi.errors import DataError
from trainer.augment import Augmentation
from trainer.augmented_mlp import AugmentedMLPConfig
from trainer.augmented_svm import AugmentedSVMConfig
from trainer.svm import SVMConfig

FORMAT_VERSION: Final = 1
FILE: Final = "selected.json"

_NUMBERS: Final = re.compile(r"\[[-+.,eE\d\s]*\]")

Config = AugmentedMLPConfig | AugmentedSVMConfig


@dataclass(frozen=True, slots=True)
class Selected:
    """One model's winner."""

    config: Config
    slopes: tuple[float, ...]  # of its calibration
    warn_below: float  # a picture whose best probability is lower may be of no digit
    evidence: dict[str, Any]  # figures from cross-validation alone


def config_record(config: Config) -> dict[str, Any]:
    """A configuration as JSON."""
    kind = "mlp" if isinstance(config, AugmentedMLPConfig) else "svc"
    return {"kind": kind, **asdict(config)}


def parse_config(record: dict[str, Any]) -> Config:
    """The configuration that `config_record` wrote; raises TypeError or KeyError on another."""
    fields = dict(record)
    kind = fields.pop("kind")
    fields["augmentation"] = Augmentation(**fields["augmentation"])
    if kind == "mlp":
        return AugmentedMLPConfig(**{**fields, "hidden": tuple(fields["hidden"])})
    return AugmentedSVMConfig(**{**fields, "machine": SVMConfig(**fields["machine"])})


def selection_record(selected: dict[str, Selected]) -> dict[str, Any]:
    """The winners as JSON, by the names of the models."""
    return {
        name: {
            "config": config_record(winner.config),
            "slopes": list(winner.slopes),
            "warn_below": winner.warn_below,
            "evidence": winner.evidence,
        }
        for name, winner in selected.items()
    }


def write_selection(path: Path, record: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    partial = path.with_name(f".{path.name}")
    text = json.dumps({"format_version": FORMAT_VERSION, **record}, ensure_ascii=False, indent=1)
    text = _NUMBERS.sub(lambda match: " ".join(match[0].split()), text)  # a list on one line
    partial.write_text(f"{text}\n", encoding="utf-8")
    partial.replace(path)


def parse_selection(text: str, name: str = FILE) -> dict[str, Selected]:
    """The winners by the names of the models; raises DataError."""
    try:
        record = json.loads(text)
        if record["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{name}: format_version is {record['format_version']!r}, expected {FORMAT_VERSION}"
            )
        return {
            model: Selected(
                config=parse_config(winner["config"]),
                slopes=tuple(map(float, winner["slopes"])),
                warn_below=float(winner["warn_below"]),
                evidence=winner["evidence"],
            )
            for model, winner in record["models"].items()
        }
    except KeyError as error:
        raise DataError(f"{name}: {error.args[0]} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{name}: not a selection ({error})") from error


@cache
def committed_selection() -> dict[str, Selected]:
    """The winners that `fit` fits."""
    return parse_selection((files("trainer") / FILE).read_text(encoding="utf-8"))
