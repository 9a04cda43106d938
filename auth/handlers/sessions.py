"""Sessions: list and end those of the caller."""

from auth.contract import EndOtherSessions, EndSession, ListSessions, Session, SessionNotFound, Sessions, SessionsEnded
from auth.handlers.service import auth, settings
from auth.storage import activity, sessions
from bus import Work


@auth.handles(ListSessions)
def list_sessions(_query: ListSessions, work: Work) -> Sessions:
    owner = sessions.owner_of(work.caller, work.connection)
    found = [
        Session(
            id=row.id,
            device=row.device,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            current=row.id == work.caller.session,
        )
        for row in sessions.all_of(work.connection, owner.id, settings())
    ]
    return Sessions(sessions=found)


@auth.handles(EndSession)
def end_session(command: EndSession, work: Work) -> SessionsEnded:
    owner = sessions.owner_of(work.caller, work.connection)
    if not sessions.end(work, owner.id, session_id=command.session_id):
        raise SessionNotFound
    activity.note(work, owner.id, "session_ended", by_id=owner.id)
    return SessionsEnded()


@auth.handles(EndOtherSessions)
def end_other_sessions(_command: EndOtherSessions, work: Work) -> SessionsEnded:
    owner = sessions.owner_of(work.caller, work.connection)
    if sessions.end(work, owner.id, but=work.caller.session):
        activity.note(work, owner.id, "other_sessions_ended", by_id=owner.id)
    return SessionsEnded()
