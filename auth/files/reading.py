"""Reading: the rows of a file, as accounts to import."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO

from auth.contract import MOST_USERS, ImportedUser, ImportUsers
from auth.domain.email import email_key
from auth.domain.names import username_key
from bus import accept
from bus.files import (
    Accepted,
    Entry,
    Fault,
    FileImport,
    FileRefused,
    Row,
    Table,
    accepted,
    has_objects,
    read_objects,
    read_table,
)

# Of the accounts of one command, which are sealed: a seal has at most 131,072 characters.
MOST_BATCH_BYTES = 60_000
COLUMNS = ("username", "email", "password_hash", "display_name", "email_verified", "roles", "disabled", "created_at")
# What Django calls a column, beside what only Django needs. Its password is a hash; one that begins with a `!` is none.
_OF_DJANGO = {"password": "password_hash", "date_joined": "created_at"}
_DJANGO_ALONE = {"id", "pk", "last_login", "is_superuser", "is_staff", "groups", "user_permissions"}
_BOOLEANS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}


def read(text: TextIO) -> tuple[str, Iterator[Accepted[ImportedUser]]]:
    """What the layout of a file is called, and the accounts in it. Raises FileRefused, also while they are read."""
    is_ndjson, lines = has_objects(text)
    layout, found = ("NDJSON", _objects(lines)) if is_ndjson else ("CSV", _rows(read_table(lines)))
    return layout, accepted(found, _user, "/users/0")


USERS = FileImport(
    operation=ImportUsers,
    plural="accounts",
    needs="admin",
    most_items=MOST_USERS,
    most_bytes=MOST_BATCH_BYTES,
    read=read,
    command=lambda users: ImportUsers(users=users),
    unique=lambda user: {"username": username_key(user.username), "email": email_key(user.email)},
)


def _user(fields: Mapping[str, Any]) -> ImportedUser:
    return accept({"users": [dict(fields)]}, ImportUsers).users[0]  # as the worker will


def _objects(text: Iterable[str]) -> Iterator[Entry]:
    for each in read_objects(text):
        if not isinstance(each, Row):
            yield each
            continue
        is_record = each.fields.keys() == {"model", "pk", "fields"} and isinstance(each.fields["fields"], dict)
        try:
            yield Row(each.line, _named(each.fields["fields"] if is_record else each.fields))
        except ValueError as error:
            yield Fault(each.line, str(error))


def _rows(table: Table) -> Iterator[Entry]:
    known = {*COLUMNS, *_OF_DJANGO, *_DJANGO_ALONE, "first_name", "last_name", "is_active"}
    if unknown := [each for each in table.columns if each.lower() not in known]:
        raise FileRefused(f"The column {unknown[0]!r} is unknown. Known are: {', '.join(COLUMNS)}.")
    for record in table.records:
        if isinstance(record, Fault):
            yield record
            continue
        try:
            cells = {name.lower(): cell for name, cell in record.cells.items()}
            yield Row(record.line, _named({name: _CELLS.get(name, str)(cell) for name, cell in cells.items() if cell}))
        except ValueError as error:
            yield Fault(record.line, str(error))


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by our names; null and an unusable password are not given. Raises ValueError."""
    named = {_OF_DJANGO.get(name, name): value for name, value in fields.items() if name not in _DJANGO_ALONE}
    names = [str(named.pop(name, "") or "") for name in ("first_name", "last_name")]
    if any(names):
        named.setdefault("display_name", " ".join(filter(None, names)).strip())
    if "is_active" in named:
        is_active = named.pop("is_active")
        if is_active not in (True, False):  # 1 and 0 are equal to them: MySQL and SQLite have no others
            raise ValueError("is_active: Expected true, false, 1 or 0.")
        named["disabled"] = not is_active
    if str(named.get("password_hash")).startswith("!"):
        del named["password_hash"]
    return {name: value for name, value in named.items() if value is not None}


def _boolean(cell: str) -> bool:
    if (value := _BOOLEANS.get(cell.strip().lower())) is None:
        raise ValueError(f"{cell!r} is neither true nor false.")
    return value


_CELLS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("email_verified", "disabled", "is_active"), _boolean),
    "roles": lambda cell: cell.replace(",", " ").split(),
}
