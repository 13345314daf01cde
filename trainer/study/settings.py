"""How a study is run, as its flags say."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`folder` is the study's own, such as studies/mnist."""

    folder: Path
    seeds: tuple[int, ...]
    jobs: int
    fresh: bool = False  # train again what an earlier run has left
    quiet: bool = False
