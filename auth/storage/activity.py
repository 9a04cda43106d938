"""Activity: what was done with an account, written in the transaction of what was done."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, select

from auth.tables import activity
from bus import Caller, Work
from bus.database import sql_now

# The id of no person's account: for a log-in that failed because there is none, and for accounts of services.
NO_ACCOUNT = 0

_add = insert(activity).values(at=sql_now())


def note(work: Work, user_id: int, what: str, *, device: str = "", by_id: int | None = None) -> None:
    """Add a row. `what` is a word in the past, such as `logged_in`; `by_id` is None where it is known of no person."""
    row = {
        "user_id": user_id,
        "by_id": by_id,
        "what": what,
        "device": device,
        "address": work.client_address,
    }
    work.connection.execute(_add, row)


def note_service(work: Work, name: str, what: str) -> None:
    """Add a row about the account of a service. `what` is a word in the past, such as `created`."""
    row = {"user_id": NO_ACCOUNT, "service": name, "what": what, "device": "", "address": work.client_address}
    work.connection.execute(_add, row)


def of_services(work: Work) -> Sequence[Row[Any]]:
    """What was done with accounts of services, the oldest first."""
    is_one = (activity.c.user_id == NO_ACCOUNT, activity.c.service.is_not(None))
    return work.connection.execute(select(activity).where(*is_one).order_by(activity.c.id)).all()


def person(caller: Caller) -> int | None:
    """The account of a person; None for that of a service."""
    return int(caller.id) if caller.id.isdecimal() else None
