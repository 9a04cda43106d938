"""Reading: accounts from CSV and NDJSON, each with its line; faults name the field and repeat no hash."""

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from msgspec import UNSET, structs

from auth.contract import ImportedUser
from auth.files.reading import COLUMNS, USERS
from bus.files import Fault, FileRefused

OLD_HASH = "$2b$04$JPwJ5T9HTfmcDzFittlbGuzVbZidyE1muXM9D9S1E9My2.EN44sUO"


def _read(text: str) -> list[Any]:
    """The fields of the accounts with their lines, and the faults."""
    _, found = USERS.read(StringIO(text, newline=""))
    return [each if isinstance(each, Fault) else (each[0], structs.asdict(each[1])) for each in found]


def _ada(**fields: Any) -> dict[str, Any]:
    return structs.asdict(
        structs.replace(ImportedUser(username="ada", email="ada@example.org", password_hash=OLD_HASH), **fields)
    )


def test_csv_with_all_columns_and_with_the_least() -> None:
    full = f'ada,ada@example.org,{OLD_HASH},Ada L.,t,"admin, catalog:write",no,2019-03-01T09:30:00Z'
    made = datetime(2019, 3, 1, 9, 30, tzinfo=UTC)
    assert _read(f"{','.join(COLUMNS)}\n{full}\nada,ada@example.org,{OLD_HASH},,,,,\n") == [
        (2, _ada(display_name="Ada L.", email_verified=True, roles=["admin", "catalog:write"], created_at=made)),
        (3, _ada()),
    ]


def test_ndjson() -> None:
    assert _read(json.dumps({"username": "ada", "email": "ada@example.org", "password_hash": OLD_HASH})) == [
        (1, _ada())
    ]


def test_what_django_dumps_and_what_its_table_has() -> None:
    fields = {
        "password": OLD_HASH, "last_login": None, "is_superuser": True, "username": "ada", "first_name": "Ada",
        "last_name": "Lovelace", "email": "ada@example.org", "is_staff": True, "is_active": False,
        "date_joined": "2019-03-01T09:30:00Z", "groups": [], "user_permissions": [],
    }  # fmt: skip
    made = datetime(2019, 3, 1, 9, 30, tzinfo=UTC)
    expected = _ada(display_name="Ada Lovelace", disabled=True, created_at=made)
    assert _read(json.dumps({"model": "auth.user", "pk": 7, "fields": fields})) == [(1, expected)]
    header = "id,password,is_superuser,username,first_name,last_name,email,is_active,date_joined"
    row = f"7,{OLD_HASH},t,ada,Ada,Lovelace,ada@example.org,f,2019-03-01T09:30:00Z"
    assert _read(f"{header}\n{row}\n") == [(2, expected)]
    ((_, without),) = _read(json.dumps({"fields": fields | {"password": "!unusable"}, "model": "auth.user", "pk": 7}))
    assert without["password_hash"] is UNSET


@pytest.mark.parametrize(("is_active", "disabled"), [(True, False), (False, True), (1, False), (0, True)])
def test_who_is_not_active_is_disabled(is_active: object, disabled: bool) -> None:
    fields = {"username": "ada", "email": "ada@example.org", "password": OLD_HASH, "is_active": is_active}
    assert _read(json.dumps(fields)) == [(1, _ada(disabled=disabled))]


@pytest.mark.parametrize("is_active", ["f", "0", None, 2, []])
def test_other_values_of_is_active_are_faults_of_it(is_active: object) -> None:
    fields = {"username": "ada", "email": "ada@example.org", "is_active": is_active}
    (found,) = _read(json.dumps(fields))
    assert (found.line, found.detail) == (1, "is_active: Expected true, false, 1 or 0.")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("ada,ada@example.org,hunter2", "password_hash: This is not a hash by Argon2"),
        (f"ada,ada@example.org,{OLD_HASH.replace('$04', '$15')}", "password_hash: Its cost is 15."),
        ("ada,nowhere,", "email: "),
        ("a da,ada@example.org,", "username: "),
        ("ada,,", "email: "),
        ("ada,ada@example.org", "This row has 2 cells, and the header 3."),
    ],
)
def test_a_fault_names_the_line_and_the_field(row: str, fault: str) -> None:
    header = "username,email,password_hash\n"
    good, found = _read(f"{header}ada,ada@example.org,{OLD_HASH}\n{row}\n")
    assert good == (2, _ada())
    assert (found.line, found.detail.startswith(fault)) == (3, True), found
    assert "hunter2" not in found.detail


def test_other_faults_of_files() -> None:
    assert _read('{"username": "ada", "email": "ada@example.org", "age": 7}\n{"username"\n')[0].detail.startswith(
        "age: "
    )
    assert "neither true nor false" in _read("username,email,disabled\nada,ada@example.org,perhaps\n")[0].detail
    with pytest.raises(FileRefused, match="The column 'age' is unknown"):
        _read("username,email,age\nada,ada@example.org,7\n")


def test_names_and_addresses_that_are_the_same_are_unique_in_a_file() -> None:
    one, other = (ImportedUser(username=name, email=f"{name}@example.org") for name in ("Ada", "ADA"))
    assert USERS.unique(one) == USERS.unique(other) == {"username": "ada", "email": "ada@example.org"}
