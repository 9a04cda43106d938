"""Activity: what was done with an account, written in the transaction of what was done."""

from sqlalchemy import insert

from auth.tables import activity
from bus import Work
from bus.database import now

# The id of no account, for a log-in that failed because there is none.
NO_ACCOUNT = 0

_add = insert(activity)


def note(work: Work, user_id: int, what: str, *, device: str = "", by_id: int | None = None) -> None:
    """Add a row. `what` is a word in the past, such as `logged_in`; `by_id` is None where nobody is known to be it."""
    row = {
        "user_id": user_id,
        "by_id": by_id,
        "what": what,
        "device": device,
        "address": work.client_address,
        "at": now(work.connection),
    }
    work.connection.execute(_add, row)
