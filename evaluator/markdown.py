"""Show a record as GitHub-flavoured Markdown, for the summary of a CI run."""

from evaluator.report import Record
from evaluator.table import HEADER, model_row, notice, outcome_counts


def render_markdown(record: Record) -> str:
    """The text of `summary.md`."""
    mark = "✅" if record["exit_code"] == 0 else "❌"
    parts = [
        f"## {mark} {_plain(record['verdict'])}",
        f"{_plain(record['sentence'])} (exit code {record['exit_code']})",
    ]
    if word := notice(record):
        parts.append(f"> **{word}**")
    rows = [HEADER, tuple("---" for _ in HEADER), *map(model_row, record["models"])]
    parts.append("\n".join("| " + " | ".join(map(_plain, row)) + " |" for row in rows))
    failures = [check for check in record["checks"] if check["fault"]]
    if failures:
        parts.append(
            "\n".join(f"- **{one['check']}** {_plain(one['sentence'])}" for one in failures)
        )
    data = record["data"]
    parts.append(
        f"{_plain(record['target'])} · {data['source']} digits, {data['images']} images · "
        f"checks: {outcome_counts(record)} · {record['seconds']:.1f} s"
    )
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Text whose signs do not format."""
    for sign in "\\`*_{}[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
