"""Clearing: delete what has no meaning any more, a part at a time."""

from datetime import timedelta

from sqlalchemy import delete, or_, select

from auth.handlers.service import auth, settings
from auth.storage import activity, sessions
from auth.tables import activity as done
from auth.tables import session, throttle
from bus import Work
from bus.database import now

CLEARING_SECONDS = 600.0
# In one run, so that its transaction is short.
MOST = 1000
# Longer than the longest time after which a count begins again.
KEPT = timedelta(days=2)
# For an operator who looks for where guesses came from.
FAILURES_KEPT = timedelta(days=30)


@auth.every(CLEARING_SECONDS)
def clear_throttles(work: Work) -> None:
    """Delete counts that have no effect."""
    old = throttle.c.last_at < now(work.connection) - KEPT
    names = select(throttle.c.name).where(old).limit(MOST)
    work.connection.execute(delete(throttle).where(throttle.c.name.in_(names), old))


@auth.every(CLEARING_SECONDS)
def clear_failures(work: Work) -> None:
    """Delete what is noted of log-ins to no account. What was done with an account stays."""
    is_failure = (done.c.user_id == activity.NO_ACCOUNT, done.c.service.is_(None))
    old = (*is_failure, done.c.at < now(work.connection) - FAILURES_KEPT)
    ids = select(done.c.id).where(*old).order_by(done.c.id).limit(MOST)
    work.connection.execute(delete(done).where(done.c.id.in_(ids)))


@auth.every(CLEARING_SECONDS)
def end_old_sessions(work: Work) -> None:
    """End the sessions whose time is over, so that listeners hear of it and their tokens are deleted."""
    moment, limits = now(work.connection), settings()
    is_over = or_(
        session.c.last_used_at < moment - timedelta(days=limits.session_idle_days),
        session.c.created_at < moment - timedelta(days=limits.session_days),
    )
    for row in work.connection.execute(select(session.c.id, session.c.user_id).where(is_over).limit(MOST)).all():
        sessions.end(work, row.user_id, session_id=row.id)
