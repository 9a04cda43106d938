"""Activity: what was done with an account, written in the transaction of what was done."""

from sqlalchemy import insert

from auth.tables import activity
from bus import Caller, Work
from bus.database import sql_now

# The id of no account, for a log-in that failed because there is none.
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


def person(caller: Caller) -> int | None:
    """The account of a person; None for that of a service."""
    return int(caller.id) if caller.id.isdecimal() else None
