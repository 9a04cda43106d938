"""Registration: hash the password, insert the account, emit the event."""

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from auth.contract import EmailTaken, Register, User, UserChanged, UsernameTaken, UserRegistered
from auth.domain.names import comparison_key
from auth.domain.passwords import hash_password
from auth.handlers.service import auth
from auth.tables import user
from bus import Work

_insert = insert(user).returning(user.c.id)


@auth.handles(Register)
def register(command: Register, work: Work) -> UserRegistered:
    """Make an account. The unique keys refuse a second one; a query before the insert would leave a race."""
    row = {
        "username": command.username,
        "username_key": comparison_key(command.username),
        "email": command.email,
        "email_key": comparison_key(command.email),
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
