"""The second factor: secrets and recovery codes of accounts, and the check of a code.

Lock the account before, as `accounts.lock` does: then codes of one account are checked one after another, and its
secret is not changed meanwhile. A code counts once even without that, because the statement that takes it finds its row
once.
"""

import time
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from auth.contract.totp import OtpRequired, TotpChanged, WrongOtp
from auth.domain import recovery_codes
from auth.domain.throttling import OTP_FAILURES, Limit
from auth.domain.totp import looks_like_totp, step_of
from auth.storage import activity, mails, throttle
from auth.tables import recovery_code, totp
from bus import Work
from bus.database import now

_secret = select(totp).where(totp.c.user_id == bindparam("owner_id"), totp.c.secret.is_not(None))


def find(connection: Connection, user_id: int) -> Row[Any] | None:
    """The secret of an account, which may not be confirmed; None if there is none."""
    return connection.execute(_secret, {"owner_id": user_id}).one_or_none()


def keep(connection: Connection, user_id: int, secret: str) -> None:
    """Keep a secret that is not confirmed, in place of the last one."""
    values = {"secret": secret, "confirmed_at": None, "last_step": 0}
    kept = update(totp).where(totp.c.user_id == user_id).values(values).returning(totp.c.user_id)
    if connection.execute(kept).one_or_none() is None:
        connection.execute(insert(totp).values(user_id=user_id, version=0, **values))


def confirm(work: Work, owner: Row[Any]) -> list[str]:
    """Let log-ins of an account need a code from now on; returns the recovery codes. Its owner gets a notice."""
    _change(work, owner.id, confirmed_at=now(work.connection))
    mails.ask(work.connection, "totp_on", owner.email, user_id=owner.id)
    codes = recovery_codes.new_codes()
    rows = [{"user_id": owner.id, "hash": recovery_codes.hash_of(code)} for code in codes]
    work.connection.execute(insert(recovery_code), rows)
    return codes


def remove(work: Work, owner: Row[Any], found: Row[Any]) -> None:
    """Remove a secret that `find` has found for an account, and the recovery codes. Its owner gets a notice.

    The row stays, as it counts the changes.
    """
    if found.confirmed_at is None:
        unset = update(totp).where(totp.c.user_id == found.user_id).values(secret=None)
        work.connection.execute(unset)
        return
    work.connection.execute(delete(recovery_code).where(recovery_code.c.user_id == found.user_id))
    _change(work, owner.id, secret=None, confirmed_at=None)
    mails.ask(work.connection, "totp_off", owner.email, user_id=owner.id)


def check(work: Work, user_id: int, otp: str | None, device: str) -> None:
    """Check the second factor of a log-in whose password is right. An account without one needs none.

    Raises OtpRequired, WrongOtp and TooManyTries.
    """
    found = find(work.connection, user_id)
    if found is None or found.confirmed_at is None:
        return
    if otp is None:
        raise OtpRequired
    check_wait(work.connection, user_id)
    if not take(work.connection, found, otp):
        count_failure(work.connection, user_id)
        activity.note(work, user_id, "otp_refused", device=device)
        raise WrongOtp
    forget_failures(work.connection, user_id)
    if not looks_like_totp(otp):
        activity.note(work, user_id, "recovery_code_used", device=device, by_id=user_id)


def take(connection: Connection, found: Row[Any], code: str) -> bool:
    """Whether this is a code or a recovery code of the secret that counts now. It does not count again."""
    return (take_totp if looks_like_totp(code) else _take_recovery_code)(connection, found, code)


def take_totp(connection: Connection, found: Row[Any], code: str) -> bool:
    """Whether this is a code of the secret that counts now. It does not count again, nor do those before it."""
    if (step := step_of(found.secret, code, time.time())) is None:
        return False
    is_later = (totp.c.user_id == found.user_id, totp.c.secret.is_not(None), totp.c.last_step < step)
    taken = update(totp).where(*is_later).values(last_step=step).returning(totp.c.user_id)
    return connection.execute(taken).one_or_none() is not None


def check_wait(connection: Connection, user_id: int) -> None:
    """Raises TooManyTries while the next try has to wait. These are counted apart from wrong passwords."""
    throttle.check_wait(connection, _throttles(user_id))


def count_failure(connection: Connection, user_id: int) -> None:
    """Count a wrong code of an account."""
    throttle.count(connection, _throttles(user_id))


def forget_failures(connection: Connection, user_id: int) -> None:
    """Begin to count from zero."""
    ((name, _limit),) = _throttles(user_id)
    throttle.forget(connection, name)


def _take_recovery_code(connection: Connection, found: Row[Any], code: str) -> bool:
    given = (recovery_code.c.user_id == found.user_id, recovery_code.c.hash == recovery_codes.hash_of(code))
    taken = delete(recovery_code).where(*given).returning(recovery_code.c.user_id)
    return connection.execute(taken).one_or_none() is not None


def _change(work: Work, user_id: int, **values: Any) -> None:
    changed = update(totp).where(totp.c.user_id == user_id).values(**values, version=totp.c.version + 1)
    row = work.connection.execute(changed.returning(totp)).one()
    work.emit(TotpChanged(id=user_id, enabled=row.confirmed_at is not None, version=row.version))


def _throttles(user_id: int) -> list[tuple[str, Limit]]:
    return [(throttle.name_of("otp", str(user_id)), OTP_FAILURES)]
