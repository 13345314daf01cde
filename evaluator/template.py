"""Find the templates of the pages; each page is one file that needs nothing else."""

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from evaluator.latency import show_seconds
from evaluator.table import show_accuracy


@functools.cache
def find_template(name: str) -> Template:
    """The template of a page, with the filters that all of them use."""
    environment = Environment(
        loader=PackageLoader("evaluator"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["seconds"] = show_seconds
    environment.filters["accuracy"] = show_accuracy
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.4f}"
    return environment.get_template(name)
