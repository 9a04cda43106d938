"""What schemathesis must know of our data that a schema cannot express. It loads this file by `SCHEMATHESIS_HOOKS`."""

import os
import re
from itertools import count
from string import ascii_lowercase
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import HookContext
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

from bus.http.documents import schemas
from bus.messaging.message import MESSAGE_ID

MAX_KEY_LENGTH = 255
# Any beginning of it with at least eight characters is a strong password.
STRONG = "Zq7-vX3.kW9_pL2+" * 64
PAST = "2019-03-01T09:30:00Z"
BCRYPT = "$2b$04$JPwJ5T9HTfmcDzFittlbGuzVbZidyE1muXM9D9S1E9My2.EN44sUO"
# Whether the service is open to everyone.
IS_OPEN = os.environ.get("IS_OPEN") == "1"
VERSION_FIELDS = ("expected_version", "id", "version", "available")
PASSWORDS = ("password", "new_password")
TEXT = re.compile(schemas.TEXT)
CURSOR = re.compile(r"[A-Za-z0-9_-]{1,2000}")
SMALLEST = 1e-20
_numbers = count(1)

# RFC 5321 and registries decide which addresses are valid; no schema repeats that.
_words = st.text(alphabet=ascii_lowercase, min_size=3, max_size=20)
schemathesis.openapi.format("email", st.tuples(_words, _words).map(lambda two: f"{two[0]}@{two[1]}.org"))


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Leave out who may call, where the service is open: a document has it for those that are not."""
    for path in raw_schema["paths"].values() if IS_OPEN else ():
        for operation in path.values():
            operation.pop("security", None)


@schemathesis.hook
def before_call(context: HookContext, case: Any, kwargs: dict[str, Any]) -> None:
    """Replace valid keys and passwords by others of the same length, and leave out cursors; invalid ones stay."""
    headers = case.headers if case.headers is not None else {}
    if headers.get("Prefer") == "respond-async" and (case.operation.definition.raw.get("security") or _is_of_one(case)):
        del headers["Prefer"]  # 202 says nothing of the token, or of what was deleted before: only the worker reads it
    if case.method != "GET" and headers.get("Prefer") == "respond-async":
        # The OpenAPI link from a 202 to its outcome needs the key that the caller chose.
        headers.setdefault("Idempotency-Key", "key")
    _any_version(case, headers)
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and MESSAGE_ID.fullmatch(key):
        headers["Idempotency-Key"] = _used_once(key)
    if CURSOR.fullmatch(str((case.query or {}).get("cursor", ""))):
        del case.query["cursor"]  # only one that the service has given is accepted
    for user in _users_in(case.body):
        user.update(_importable(user))
    for fields in _products_in(case.body):
        if "attributes" in fields:
            fields["attributes"] = _with_short_numbers(fields["attributes"])
    for field in PASSWORDS:
        password = case.body.get(field) if isinstance(case.body, dict) else None
        if isinstance(password, str) and TEXT.search(password) and 8 <= len(password) <= len(STRONG):
            case.body = {**case.body, field: STRONG[: len(password)]}


def _is_of_one(case: Any) -> bool:
    """Whether a request has the id of something that a request before it may have deleted."""
    return bool(case.path_parameters) and case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL


def _any_version(case: Any, headers: dict[str, Any]) -> None:
    """Of valid requests: which version a product has, and that two fields fit each other, no schema says.

    `If-Match: *` is sent instead. It also replaces what was made of a tag by reading its quotes as those of JSON.
    """
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    if isinstance(case.query, dict):
        case.query.pop("expected_version", None)
        if "max_price" in case.query:
            case.query.pop("min_price", None)  # no schema says which of two numbers is the larger
    if case.path == "/products:batch" and isinstance(case.body, dict):
        for each in case.body["operations"]:
            each.update({kind: _without_versions(fields) for kind, fields in each.items()})
    if case.method in ("PUT", "PATCH") and isinstance(case.body, dict):
        case.body = _without_versions(case.body)


def _without_versions(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in VERSION_FIELDS}


def _users_in(body: Any) -> list[dict[str, Any]]:
    """The objects with the fields of an account: the body itself, and those of an import."""
    users = body.get("users") if isinstance(body, dict) else None
    return [each for each in [body, *(users if isinstance(users, list) else [])] if isinstance(each, dict)]


def _importable(user: dict[str, Any]) -> dict[str, Any]:
    """The same with other names, hashes and times in place of valid ones: no schema says which text is one.

    RFC 8265 decides which text is a name.
    """
    others = {"username": (64, f"name{next(_numbers)}"), "password_hash": (512, BCRYPT), "created_at": (40, PAST)}
    replaced = {
        name: other
        for name, (longest, other) in others.items()
        if isinstance(user.get(name), str) and TEXT.search(user[name]) and 1 <= len(user[name]) <= longest
    }
    return {**user, **replaced}


def _products_in(body: Any) -> list[dict[str, Any]]:
    """The objects with the fields of a product: the body itself, or those of the operations of a batch."""
    operations = body.get("operations") if isinstance(body, dict) else None
    entries = [each for each in operations if isinstance(each, dict)] if isinstance(operations, list) else [{"": body}]
    return [fields for each in entries for fields in each.values() if isinstance(fields, dict)]


def _with_short_numbers(attributes: Any) -> Any:
    """Numbers that are closer to 0 than our parser reads become 0."""
    if not isinstance(attributes, dict):
        return attributes
    return {
        name: 0 if isinstance(value, float) and abs(value) < SMALLEST else value for name, value in attributes.items()
    }


def _used_once(key: str) -> str:
    """Make the key unique: the same key with other fields is refused, as it should be."""
    ending = f"-{next(_numbers)}"
    return key[: MAX_KEY_LENGTH - len(ending)] + ending
