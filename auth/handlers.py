"""The handlers of auth: no HTTP, no AMQP, no commit."""

import unicodedata

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from auth.contract import EmailTaken, Register, User, UserChanged, UsernameTaken, UserRegistered
from auth.passwords import hash_password
from auth.tables import user
from bus import Service, Work

# Hashing is the work, and leaves the interpreter to others: the threads are the hashing slots.
HASHING_THREADS = 4

auth = Service("auth", threads=HASHING_THREADS)

_insert = insert(user).returning(user.c.id)


@auth.handles(Register)
def register(command: Register, work: Work) -> UserRegistered:
    """The unique keys decide who is first, not a look before the write."""
    row = {
        "username": command.username,
        "username_key": _key(command.username),
        "email": command.email,
        "email_key": _key(command.email),
        "password_hash": hash_password(command.password),
    }
    try:
        user_id = work.connection.execute(_insert, row).scalar_one()
    except IntegrityError as error:
        # PostgreSQL names the constraint in the first line and repeats the caller's text in the second.
        constraint = str(error.orig).partition("\n")[0]
        raise EmailTaken if "email_key" in constraint else UsernameTaken from None
    work.emit(UserChanged(id=user_id, username=command.username, email=command.email, version=1))
    return UserRegistered(user=User(id=user_id, username=command.username, email=command.email))


def _key(name: str) -> str:
    """Compatibility forms and case folded away (Unicode TR 15 and 21), so that look-alikes collide."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
