"""Answer deadlines: the thread that ends silent connections goes on, whatever one of them does."""

import socket

import pytest
from sqlalchemy import create_engine
from structlog.testing import capture_logs

from bus.database import answer_deadlines
from bus.database.answer_deadlines import AnswerDeadlines

WAIT_SECONDS = 30.0


class Broken:
    """A connection that cannot even say what its socket is."""

    def fileno(self) -> int:
        raise RuntimeError("as asked")


def test_a_connection_that_cannot_be_ended_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_deadlines, "LOOK_SECONDS", 0.01)
    deadlines = AnswerDeadlines()
    deadlines.watch_statements(create_engine("sqlite://"), WAIT_SECONDS)
    ours, theirs = socket.socketpair()
    with ours, theirs, capture_logs() as logs, deadlines.within(0.0, Broken()), deadlines.within(0.1, ours):
        theirs.settimeout(WAIT_SECONDS)
        assert theirs.recv(1) == b""
    deadlines.close()
    assert [line["event"] for line in logs] == ["database_silent", "connection_not_ended", "database_silent"]
