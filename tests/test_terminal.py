"""Tables line up, and progress is a bar on a terminal and few lines in a log."""

import io

import pytest

from gurmukhi.terminal import Progress, format_table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_text_stands_left_and_numbers_right() -> None:
    table = format_table(("name", "n"), [("a", "1"), ("long", "100")])
    assert table.splitlines() == ["name    n", "────  ───", "a       1", "long  100"]


def test_a_table_without_rows_has_its_header() -> None:
    assert format_table(("a", "b"), []).splitlines() == ["a  b", "─  ─"]


@pytest.mark.parametrize("cells", [["1", "–"], ["-0.5", "2"], ["", "3"], ["−0.1", "1"]])
def test_a_dash_or_nothing_stands_among_numbers(cells: list[str]) -> None:
    lines = format_table(("header",), [(cell,) for cell in cells]).splitlines()
    assert all(len(line) == len("header") for line in lines[2:] if line)


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        format_table(("a", "b"), [("1",)])


def test_a_log_has_one_last_line() -> None:
    stream = io.StringIO()
    progress = Progress("fit", 3, stream)
    for step in range(3):
        progress.advance(note=f"step {step}")
    progress.finish()
    assert stream.getvalue() == "fit: 3/3  0:00  step 2\n"


def test_a_log_does_not_repeat_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gurmukhi.terminal._LINE_SECONDS", 0.0)
    stream = io.StringIO()
    progress = Progress("fit", 2, stream)
    progress.advance()
    progress.advance()
    progress.finish()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]


def test_a_terminal_gets_one_line_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gurmukhi.terminal._BAR_SECONDS", 0.0)
    stream = Terminal()
    progress = Progress("fit", 4, stream)
    progress.advance(2, note="half")
    progress.advance(2)
    progress.finish()
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.startswith(f"\rfit {'█' * 12}{'░' * 12} 2/4")
    assert "half" in text
    assert f"\rfit {'█' * 24} 4/4" in text


def test_a_short_task_is_still_shown_on_a_terminal() -> None:
    stream = Terminal()
    Progress("fit", 1, stream).finish()
    assert "0/1" in stream.getvalue()


def test_quiet_shows_nothing() -> None:
    for stream in (io.StringIO(), Terminal()):
        progress = Progress("fit", 1, stream, quiet=True)
        progress.advance()
        progress.finish()
        assert stream.getvalue() == ""


def test_a_task_of_no_steps_is_shown() -> None:
    for stream in (io.StringIO(), Terminal()):
        Progress("fit", 0, stream).finish()
        assert "0/0" in stream.getvalue()
