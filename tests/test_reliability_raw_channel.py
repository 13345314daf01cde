"""The cheap caller of the endurance trial notices what a server leaves undone."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunningServer

from reliability import raw_channel
from reliability.questions import CLASSIFY, Question, Truth
from reliability.raw_channel import RawChannel

LISTENED = tuple[socket.socket, str]


@pytest.fixture
def listening() -> Iterator[LISTENED]:
    """A port whose connections nobody answers, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def ask() -> Question:
    return Question(CLASSIFY, b"", lambda data: True)


def test_answers_are_those_of_their_questions(server: RunningServer, models: Path) -> None:
    truth = Truth.of(models)
    questions = [truth.infer(key, [at, at + 1], f"{at}") for at, key in enumerate(truth.keys)]
    questions += [truth.classify_batch(key, list(range(32))) for key in truth.keys]
    source = iter(questions * 5)
    answers: list[raw_channel.Answer] = []
    with RawChannel(server.target, 2, 3) as channel:
        while len(answers) < len(questions) * 4:
            answers += channel.exchange(lambda: next(source))
    assert all(question.is_right(reply) for question, reply in answers)


def test_a_call_that_fails_has_an_empty_answer(server: RunningServer) -> None:
    question = Question("/a.B/C", b"", lambda data: True)
    with RawChannel(server.target, 1, 1) as channel:
        while not (answers := channel.exchange(lambda: question)):
            pass  # it has its settings to tell first
    assert answers == [(question, b"")]


def test_a_call_without_an_answer_is_noticed(
    listening: LISTENED, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_channel, "_SILENCE_SECONDS", 0.1)
    with RawChannel(listening[1], 1, 1) as channel, pytest.raises(TimeoutError):
        channel.exchange(ask)


def test_a_connection_that_is_closed_is_an_error(listening: LISTENED) -> None:
    with RawChannel(listening[1], 1, 1) as channel:
        accepted, _ = listening[0].accept()
        accepted.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            channel.exchange(ask)
        accepted.close()
