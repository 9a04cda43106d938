"""Activity: read what was done with an account."""

from typing import Any

from sqlalchemy import Row, select

from auth.contract import ActivityEntry, ActivityPage, GetActivity, GetActivityOf
from auth.handlers.service import auth
from auth.storage.sessions import owner_of
from auth.tables import activity
from bus import Work
from bus.database import page_of


@auth.handles(GetActivity)
def get_activity(query: GetActivity, work: Work) -> ActivityPage:
    return _page(query, owner_of(work.caller, work.connection).id, work)


@auth.handles(GetActivityOf)
def get_activity_of(query: GetActivityOf, work: Work) -> ActivityPage:
    return _page(query, query.user_id, work)


def _page(query: GetActivity | GetActivityOf, user_id: int, work: Work) -> ActivityPage:
    page = page_of(work, select(activity).where(activity.c.user_id == user_id), query, by=activity.c.id)
    return ActivityPage(activity=[_entry(row) for row in page.rows], next=page.next)


def _entry(row: Row[Any]) -> ActivityEntry:
    return ActivityEntry(id=row.id, at=row.at, what=row.what, by=row.by_id, device=row.device, address=row.address)
