"""The codec: one strict JSON parser and one encoder, for HTTP and queues alike.

Stricter than RFC 8259 asks, so that no two readers of a message can disagree: UTF-8 only
(section 8.1), no duplicate keys (section 4), no lone surrogates (section 8.2), bounded depth and
numbers (section 9).
"""

import contextlib
import json
import re
import threading
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar

import msgspec

from bus.contract.problems import Invalid

MAX_DEPTH = 32
MAX_DIGITS = 40  # beyond any 64-bit integer or money amount, and cheap to parse

_encoder = msgspec.json.Encoder(decimal_format="number")
# A JSON string, also one without its closing quote. Possessive, so that each byte is looked at once.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def encode(value: Any) -> bytes:
    """The JSON body of a message, or of one field. Decimals become JSON numbers and keep their digits."""
    return _encoder.encode(value)


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """The JSON of fields as `parse` returns them."""
    return _encoder.encode(fields)


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object: text as str, whole numbers as int, others as Decimal.

    Raises:
        Invalid: 400 with the code malformed-json, json-too-deep, duplicate-key or not-an-object.
    """
    value = parse_value(body)
    if type(value) is not dict:
        raise Invalid("not-an-object", 400, "Not an object", "The body must be one JSON object.")
    return value


def parse_value(text: bytes) -> Any:
    """Read any JSON value, as `parse` reads an object. Raises Invalid (400), as `parse` does."""
    _check_depth(text)
    try:
        return _strict_json.decode(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise _malformed("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _malformed(_mistake(error)) from None


# What Python's parser says, by its beginning, in the words of JSON.
_MISTAKES = {
    "Expecting value": "a value is missing",
    "Expecting ','": "a comma or a closing bracket is missing",
    "Expecting ':'": "a colon is missing",
    "Expecting property name": "the name of a field, in double quotes, is missing",
    "Illegal trailing comma": "there is a comma too many",
    "Unterminated string": "a text has no closing quote",
    "Invalid control character": "a control character must be written as an escape",
    "Invalid \\": "this escape is unknown",
    "Extra data": "the first value ends here, and more follows",
}
_DECIMAL_COMMA = re.compile(r"[0-9],[0-9]")


def _mistake(error: json.JSONDecodeError) -> str:
    """Where a text stops being JSON, and why."""
    if not error.doc.strip():
        return "The body is empty."
    if _DECIMAL_COMMA.fullmatch(error.doc[max(0, error.pos - 2) : error.pos + 1]):
        return f"At character {error.pos}: a decimal number has a point, as in 9.90, and no comma."
    reason = next((words for begin, words in _MISTAKES.items() if error.msg.startswith(begin)), "this is not JSON")
    return f"At character {error.pos}: {reason}."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid("duplicate-key", 400, "Duplicate key", "An object has the same key twice.")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _malformed(f"A number has more than {MAX_DIGITS} digits.")
    return int(digits)


def _fraction(digits: str) -> Decimal:
    try:
        number = Decimal(digits) if len(digits) <= MAX_DIGITS else None
    except InvalidOperation:  # the exponent is beyond what a Decimal can hold
        number = None
    if number is None or abs(number.adjusted()) > MAX_DIGITS:
        raise _malformed(f"A number has more than {MAX_DIGITS} digits.")
    return number


def _constant(name: str) -> None:
    raise _malformed(f"{name} is not JSON.")


_strict_json = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=_fraction, parse_constant=_constant
)


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in _STRING.sub(b"", body):
        depth += (byte in b"[{") - (byte in b"]}")
        if depth > MAX_DEPTH:
            raise Invalid("json-too-deep", 400, "JSON too deep", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _malformed(detail: str) -> Invalid:
    return Invalid("malformed-json", 400, "Malformed JSON", detail)


S = TypeVar("S", bound=msgspec.Struct)

_lock = threading.Lock()


@cache
def prepare(declared: type[msgspec.Struct]) -> None:
    """Make a class ready to be decoded by many threads; only the first call does anything.

    msgspec inspects a class when it first decodes one. It crashes when several threads do that at once.
    """
    with _lock, contextlib.suppress(msgspec.ValidationError):  # {} lacks its fields, but msgspec has inspected it
        msgspec.convert({}, declared)


def read_json(body: bytes, declared: type[S]) -> S:
    """Decode JSON that this library wrote. Raises msgspec.DecodeError."""
    prepare(declared)
    return msgspec.json.decode(body, type=declared)
