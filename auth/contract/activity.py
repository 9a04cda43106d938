"""Activity: what was done with an account, and when."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from auth.contract.accounts import SessionOver, UserId
from bus import PageQuery, Reply


class ActivityEntry(Reply):
    """One thing that was done; `by` is the id of the account that did it, null where that is not known.

    `address` is that of the HTTP client; empty for what came by a queue.
    """

    id: int
    at: Annotated[datetime, Meta(tz=True)]
    what: Annotated[str, Meta(examples=["logged_in"])]
    by: int | None
    device: Annotated[str, Meta(examples=["Firefox on Linux"])]
    address: Annotated[str, Meta(examples=["203.0.113.9"])]


class ActivityPage(Reply):
    """What was done, the newest first; `next` is the path of the next page, null on the last."""

    activity: list[ActivityEntry]
    next: Annotated[str, Meta(examples=["/me/activity?limit=1&cursor=vTK5Drj6WGJbMV0"])] | None


class GetActivity(
    PageQuery[ActivityPage], name="auth.get_activity", http="GET /me/activity", needs="", refuses=[SessionOver]
):
    """What was done with the caller's account."""

    sort: Literal["-id", "id"] = "-id"


class GetActivityOf(
    PageQuery[ActivityPage], name="auth.get_activity_of", http="GET /users/{user_id}/activity", needs="admin"
):
    """What was done with an account, also with one that is deleted."""

    user_id: UserId  # type: ignore[misc]  # it is keyword-only
    sort: Literal["-id", "id"] = "-id"
