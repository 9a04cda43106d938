"""Mails: the rows of those to send, and the tokens of those that were sent.

A row has no secret: its token is made when the mail is, and made again to compare it with one that comes back.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from auth.domain.email import email_key
from auth.domain.mail_tokens import ID_BYTES, is_token, mail_id_in, token_of
from auth.tables import mail
from bus.database import now, sql_now
from bus.security import service_key

Kind = Literal["verify", "reset", "taken", "changed", "password", "totp_on", "totp_off"]
# Those that tell the owner of an account what was done with it, and have no token.
NOTICES = ("taken", "changed", "password", "totp_on", "totp_off")

# A worker that has taken a mail sends it within this time; then another one tries.
LEASE = timedelta(seconds=60)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=15)
# Mails without a token are given up after this time.
NOTICE_LIFE = timedelta(days=1)
# For an operator who looks for what became of a mail.
KEPT = timedelta(days=7)

_is_open = mail.c.state.in_(("waiting", "sending"))
due = select(mail).where(_is_open, mail.c.next_at <= sql_now()).order_by(mail.c.next_at)
# States of mails that an operator can have sent again.
RETRIED = ("waiting", "failed")
_take_next = due.limit(1).with_for_update(skip_locked=True)
_by_id = select(mail).where(mail.c.id == bindparam("mail_id"))
_add = insert(mail)
old = select(mail.c.id).where(mail.c.ends_at < bindparam("before"))


def ask(
    connection: Connection,
    kind: Kind,
    address: str,
    life: timedelta = NOTICE_LIFE,
    *,
    user_id: int | None = None,
    registration_id: str | None = None,
) -> None:
    """Have a mail sent once this transaction is committed. Without an id its account is looked up by the address then.

    So asking takes the same time for an address with an account and for one without.
    """
    moment = now(connection)
    row = {
        "id": secrets.token_hex(ID_BYTES),
        "kind": kind,
        "address": address,
        "address_key": email_key(address),
        "user_id": user_id,
        "registration_id": registration_id,
        "state": "waiting",
        "made_at": moment,
        "ends_at": moment + life,
        "next_at": moment,
        "tries": 0,
        "error": "",
    }
    connection.execute(_add, row)


def take(connection: Connection) -> Row[Any] | None:
    """The next mail to send; other workers leave it alone for LEASE. None if there is none."""
    found = connection.execute(_take_next).first()
    if found is None:
        return None
    return change(connection, found.id, state="sending", tries=found.tries + 1, next_at=now(connection) + LEASE)


def change(connection: Connection, mail_id: str, **values: Any) -> Row[Any] | None:
    """Change columns of a mail; None if it was deleted meanwhile, as with its account."""
    changed = update(mail).where(mail.c.id == mail_id).values(values).returning(mail)
    return connection.execute(changed).one_or_none()


def mark(connection: Connection, taken: Row[Any], state: str, error: str = "") -> None:
    """Note what became of a mail, unless another worker has taken it since.

    With the state `waiting` it is tried again after a pause that grows with each try.
    """
    values: dict[str, Any] = {"state": state, "error": error}
    if state == "waiting":
        values["next_at"] = now(connection) + pause_after(taken.tries)
    is_ours = (mail.c.id == taken.id, mail.c.tries == taken.tries, mail.c.state == "sending")
    connection.execute(update(mail).where(*is_ours).values(values))


def pause_after(tries: int) -> timedelta:
    """The pause before the next try: 5 seconds, 10, 20 and so on, up to 15 minutes."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(tries - 1, 20)))


def listed(connection: Connection, states: Sequence[str]) -> Sequence[Row[Any]]:
    """The mails in these states, the oldest first."""
    return connection.execute(select(mail).where(mail.c.state.in_(states)).order_by(mail.c.made_at, mail.c.id)).all()


def retry(connection: Connection, mail_ids: Sequence[str]) -> int:
    """Have these mails sent now, or all of them, that wait or were given up; returns how many. Their time begins again.

    One that a worker is sending is left to it.
    """
    moment, retried = now(connection), 0
    for row in listed(connection, RETRIED):
        if mail_ids and row.id not in mail_ids:
            continue
        ends_at = moment + (row.ends_at - row.made_at)
        values = {"state": "waiting", "next_at": moment, "ends_at": ends_at, "made_at": moment}
        is_open = (mail.c.id == row.id, mail.c.state.in_(RETRIED))
        retried += connection.execute(update(mail).where(*is_open).values(values)).rowcount
    return retried


def token(connection: Connection, found: Row[Any]) -> str:
    """The token of a mail."""
    return token_of(found.id, found.kind, found.ends_at, service_key(connection, "mail"))


def find(connection: Connection, given: str, kind: Kind) -> Row[Any] | None:
    """The mail that a token is of; None for one that is not good, or no longer."""
    if (mail_id := mail_id_in(given)) is None:
        return None
    found = connection.execute(_by_id, {"mail_id": mail_id}).one_or_none()
    if found is None or found.kind != kind or found.used_at is not None or found.ends_at <= now(connection):
        return None
    return found if is_token(given, found.id, kind, found.ends_at, service_key(connection, "mail")) else None


def use(connection: Connection, found: Row[Any]) -> bool:
    """Use up the token of a mail. False when another transaction has used it."""
    unused = (mail.c.id == found.id, mail.c.used_at.is_(None))
    used = update(mail).where(*unused).values(used_at=now(connection)).returning(mail.c.id)
    return connection.execute(used).one_or_none() is not None


def use_up_all(connection: Connection, user_id: int, kind: Kind) -> None:
    """Make all tokens of this kind that an account has worthless."""
    unused = (mail.c.user_id == user_id, mail.c.kind == kind, mail.c.used_at.is_(None))
    connection.execute(update(mail).where(*unused).values(used_at=now(connection)))


def purge(connection: Connection, most: int) -> None:
    """Delete at most so many mails that nobody needs any more."""
    before = {"before": now(connection) - KEPT}
    ids = connection.execute(old.limit(most), before).scalars().all()
    connection.execute(delete(mail).where(mail.c.id.in_(ids)))
