"""Literals: a JSON value as source code of several languages."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

# A longer request is written with one field a line.
WIDTH = 88

JsonValue = None | bool | int | float | Decimal | str | list["JsonValue"] | Mapping[str, "JsonValue"]


def python(value: JsonValue) -> str:
    """An expression of Python."""
    return _written(value, _PYTHON)


def javascript(value: JsonValue) -> str:
    """An expression of JavaScript."""
    return _written(value, _JAVASCRIPT)


def go(value: JsonValue) -> str:
    """JSON in a raw string of Go. It cannot contain a backquote, which JSON can escape."""
    return "`" + _written(value, _JSON).replace("`", _escaped("`")) + "`"


def shell(value: JsonValue) -> str:
    """JSON in single quotes, in which a POSIX shell changes nothing. A quote inside is escaped as in JSON."""
    return "'" + _written(value, _JSON).replace("'", _escaped("'")) + "'"


def _escaped(character: str) -> str:
    r"""`\u` and four digits, as in JSON (RFC 8259, section 7); twice for characters beyond U+FFFF."""
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def _escaped_in_python(character: str) -> str:
    return _escaped(character) if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


@dataclass(frozen=True)
class _Notation:
    """The differences between languages whose literals are similar to JSON."""

    true: str = "true"
    false: str = "false"
    null: str = "null"
    escaped: Callable[[str], str] = _escaped
    bare_names: bool = False
    indent: str = "  "
    last_comma: str = ""


_JSON = _Notation()
_PYTHON = _Notation("True", "False", "None", _escaped_in_python, indent="    ", last_comma=",")
_JAVASCRIPT = _Notation(bare_names=True, last_comma=",")


def _written(value: JsonValue, notation: _Notation) -> str:
    """On one line if it fits; else one line for each field of the outermost object."""
    line = _value(value, notation)
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        return line
    fields = f",\n{notation.indent}".join(_fields(value, notation))
    return f"{{\n{notation.indent}{fields}{notation.last_comma}\n}}"


def _value(value: JsonValue, notation: _Notation) -> str:
    if value is None or isinstance(value, bool):
        return {True: notation.true, False: notation.false, None: notation.null}[value]
    if isinstance(value, str):
        return _text(value, notation)
    if isinstance(value, list):
        return f"[{', '.join(_value(each, notation) for each in value)}]"
    if isinstance(value, Mapping):
        space = " " if notation.bare_names and value else ""
        return f"{{{space}{', '.join(_fields(value, notation))}{space}}}"
    return format(value, "f") if isinstance(value, Decimal) else repr(value)


def _fields(value: Mapping[str, JsonValue], notation: _Notation) -> Iterator[str]:
    for name, each in value.items():
        bare = notation.bare_names and name.isidentifier() and name.isascii()
        yield f"{name if bare else _text(name, notation)}: {_value(each, notation)}"


def _text(text: str, notation: _Notation) -> str:
    """In double quotes. Invisible characters are escaped, as editors, browsers and compilers change or refuse them."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if each.isprintable() else notation.escaped(each) for each in quoted)
