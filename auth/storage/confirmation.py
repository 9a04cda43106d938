"""Confirmation: a caller shows that it knows the password of its account, for what a stolen token must not do."""

from typing import Any

from sqlalchemy import Row

from auth.contract.accounts import WrongPassword
from auth.domain.passwords import is_password
from auth.domain.throttling import ACCOUNT_FAILURES
from auth.storage import activity, throttle
from auth.storage.sessions import owner_of
from bus import Work


def check_password(work: Work, password: str) -> Row[Any]:
    """The account of the caller. Call it before the transaction begins, because it hashes.

    Raises SessionOver, WrongPassword and TooManyTries: wrong ones are counted, together with failed log-ins.
    """
    with work.reading() as connection:
        owner = owner_of(work.caller, connection)
        throttles = [(throttle.name_of("log_in", str(owner.id)), ACCOUNT_FAILURES)]
        throttle.check_wait(connection, throttles)
    if not is_password(password, owner.password_hash):
        throttle.count(work.connection, throttles)
        activity.note(work, owner.id, "password_refused", by_id=owner.id)
        raise WrongPassword
    return owner
