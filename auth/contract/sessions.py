"""Sessions: where an account is logged in, and how to end that."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from auth.contract.accounts import SessionOver
from bus import Command, Event, Query, Refusal, Reply

SessionId = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$", examples=["Zm9vYmFyYmF6cXV4MTIzNA"])]


class SessionNotFound(Refusal, code="auth.session_not_found", status=404):
    """The account has no session with this id."""


class Session(Reply):
    """A log-in that has not ended. `current` is the one of this request."""

    id: SessionId
    device: Annotated[str, Meta(examples=["Firefox on Linux"])]
    created_at: Annotated[datetime, Meta(tz=True)]
    last_used_at: Annotated[datetime, Meta(tz=True)]
    current: bool


class Sessions(Reply):
    """The sessions of an account, the last used first."""

    sessions: list[Session]


class SessionsEnded(Reply):
    """Sessions were ended."""


class SessionChanged(Event, name="auth.session_changed"):
    """A session has begun or ended."""

    id: SessionId
    user_id: int
    device: Annotated[str, Meta(examples=["Firefox on Linux"])]
    state: Literal["begun", "ended"]
    version: int


class ListSessions(Query[Sessions], name="auth.list_sessions", http="GET /sessions", needs="", refuses=[SessionOver]):
    """Where this account is logged in."""


class EndSession(
    Command[SessionsEnded],
    name="auth.end_session",
    http="DELETE /sessions/{session_id}",
    status=204,
    needs="",
    refuses=[SessionOver, SessionNotFound],
):
    """End one session of this account. Its access token ends within minutes."""

    session_id: SessionId


class EndOtherSessions(
    Command[SessionsEnded],
    name="auth.end_other_sessions",
    http="DELETE /sessions",
    status=204,
    needs="",
    refuses=[SessionOver],
):
    """End all sessions of this account but the one of this request."""
