"""Redaction: what may be stored, logged or sent of a request or reply with fields marked `Secret`.

Known fields are replaced by `[secret]`. Free text is different: what a handler, a driver or a database says about a
request can repeat a secret in any form, and no search finds all of them. So of an operation whose request or reply has
secrets, free text is dropped, and only what its author wrote into the code is kept: classes, codes, docstrings,
names of fields, and the frames of a traceback. Operations without secrets keep every text as it is.
"""

import copy
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec

from bus.contract.codec import encode
from bus.contract.events import Event
from bus.contract.fields import holds_secrets, secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Problem
from bus.contract.refusals import Refusal, Refused

CUT = "[secret]"
TEXT_DROPPED = "The text of the error is not kept, because the operation has secret fields. See the traceback."

Declared = type[Operation[Any]] | type[Event]


def encode_without_secrets(value: msgspec.Struct) -> bytes:
    """The JSON body with every field marked `Secret` replaced, for logs, dead letters and the inbox."""
    return encode(without_secrets(value))


def without_secrets(value: msgspec.Struct) -> msgspec.Struct:
    """A copy with every field marked `Secret` replaced, further inside too."""
    redacted: msgspec.Struct = _without_secrets(value)
    return redacted


def error_text(error: BaseException, operation: Declared) -> str:
    """What a handler's error says; TEXT_DROPPED for an operation with secrets."""
    return TEXT_DROPPED if _has_secrets(operation) else str(error)


def error_traceback(error: BaseException, operation: Declared) -> str:
    """The stack trace of an error and its causes: lines of code, never local variables.

    For an operation with secrets each error is shown by its class and frames alone.
    """
    if not _has_secrets(operation):
        return "".join(traceback.format_exception(error))
    frames = [f"{_HEADING}{''.join(traceback.format_tb(each.__traceback__))}{type(each).__name__}\n"
              for each in _causes(error)]  # fmt: skip
    return "\n".join(reversed(frames))


def refusal_problem(refusal: Refusal | Refused, request: Operation[Any] | Event) -> Problem:
    """The problem document of a handler's refusal, or of that of another service which the handler passes on.

    For an operation with secrets the detail is the first line of the class's docstring. Errors of fields keep the name
    of the field; detail and code are those of the refusal. What has no class has no detail then.
    """
    if not _has_secrets(type(request)):
        return refusal.problem
    if isinstance(refusal, Refused):
        return Problem.of(refusal.problem.code, refusal.problem.status, refusal.problem.title)
    declared = refusal.as_declared()
    fields = {f"/{name}" for name in request.__struct_encode_fields__}
    pointers = dict.fromkeys("/".join(error.pointer.split("/")[:2]) for error in refusal.problem.errors)
    errors = [FieldError(each, declared.detail, declared.code) for each in pointers if each in fields]
    return refusal.as_declared(errors=errors, retry_after=refusal.problem.retry_after)


_HEADING = "Traceback (most recent call last):\n"


def _has_secrets(operation: Declared) -> bool:
    replies_secrets = issubclass(operation, Operation) and holds_secrets(operation.reply_type)
    return holds_secrets(operation) or replies_secrets


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, then the one it came of, and so on, as Python's own traceback follows them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _without_secrets(value: Any) -> Any:
    """The value, or a copy where it holds secrets, in its own fields or further inside."""
    if isinstance(value, msgspec.Struct):
        return _cut_fields(value) if holds_secrets(type(value)) else value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_without_secrets(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _without_secrets(inner) for name, inner in value.items()}
    return value


def _cut_fields(whole: msgspec.Struct) -> msgspec.Struct:
    secrets = secrets_of(type(whole))
    left = copy.copy(whole)
    for name in whole.__struct_fields__:
        value = getattr(whole, name)
        # Forced: CUT takes the place of a value of any type, and the classes are frozen.
        if name not in secrets:
            msgspec.structs.force_setattr(left, name, _without_secrets(value))
        elif value is not msgspec.UNSET and value is not None:
            msgspec.structs.force_setattr(left, name, CUT)
    return left
