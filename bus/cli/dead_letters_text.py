"""The output of `bus dead-letters`: text for a terminal, and JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from bus.dead_letters.actions import Action
from bus.dead_letters.queries import DeadLetterGroup
from bus.dead_letters.store import DeadLetter, DeadLetterSummary
from bus.messaging.headers import lines

# Wide enough for "original message id" and two spaces.
NAME_WIDTH = 21


def groups_table(groups: Mapping[str, Sequence[DeadLetterGroup]], *, with_service: bool) -> list[str]:
    """A heading, and a line for each group of the services."""
    rows = [
        (
            service,
            each.operation,
            each.reason,
            each.error_class,
            str(each.count),
            *map(_time, (each.first_at, each.last_at)),
        )
        for service, found in groups.items()
        for each in found
    ]
    heading = ("SERVICE", "OPERATION", "REASON", "ERROR", "COUNT", "FIRST", "LAST")
    return _table(heading if with_service else heading[1:], rows if with_service else [row[1:] for row in rows])


def letters_table(
    letters: Mapping[str, Sequence[DeadLetterSummary]], *, with_service: bool = False, with_state: bool = False
) -> list[str]:
    """A heading, and a line for each dead letter of the services."""
    rows = [
        {
            "SERVICE": service,
            "LETTER": str(each.id),
            "STATE": each.state,
            "OPERATION": each.operation,
            "REASON": each.reason,
            "ERROR": each.error_class,
            "DIED": _time(each.last_at),
            "MESSAGE ID": each.message_id or "",
        }
        for service, found in letters.items()
        for each in found
    ]
    hidden = {"SERVICE": not with_service, "STATE": not with_state}
    names = ("SERVICE", "LETTER", "STATE", "OPERATION", "REASON", "ERROR", "DIED", "MESSAGE ID")
    heading = [name for name in names if not hidden.get(name)]
    return _table(heading, [[row[name] for name in heading] for row in rows])


def actions_table(actions: Iterable[Action]) -> list[str]:
    """A heading, and a line for each action."""
    rows = [
        (str(each.id), each.kind, _time(each.made_at), each.made_by, str(each.letters), str(each.left), each.chosen_by)
        for each in actions
    ]
    return _table(("ACTION", "KIND", "MADE", "BY", "LETTERS", "LEFT", "CHOSEN BY"), rows)


def letter_text(letter: DeadLetter) -> str:
    """One dead letter in full."""
    shown_below = ("body", "traceback", "properties")
    fields = {name: value for name, value in msgspec.structs.asdict(letter).items() if name not in shown_below}
    fields |= _properties(letter)
    text = "".join(
        f"{name.replace('_', ' '):<{NAME_WIDTH}}{_word(value)}\n"
        for name, value in fields.items()
        if value not in (None, "")
    )
    return "\n".join(filter(None, (text, body_text(letter.body), letter.traceback and f"\n{letter.traceback}")))


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """The same for programs; a body that is not JSON is text, with invalid UTF-8 escaped."""
    body: object = (
        msgspec.Raw(letter.body) if _is_json(letter.body) else letter.body.decode("utf-8", "backslashreplace")
    )
    return {**msgspec.structs.asdict(letter), "properties": _properties(letter), "body": body}


def body_text(body: bytes) -> str:
    """A body to read: JSON with line breaks and indents, anything else as it is; without control characters."""
    pretty = msgspec.json.format(body, indent=2) if _is_json(body) else body
    text = pretty.decode("utf-8", "backslashreplace")
    return lines(text, len(text))


def in_json(value: object) -> str:
    """The value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def echo_lines(texts: Iterable[str]) -> None:
    """Print each as a line."""
    for text in texts:
        click.echo(text)


def _properties(letter: DeadLetter) -> dict[str, str]:
    kept = msgspec.structs.asdict(letter.properties)
    return {f"original_{name}" if name == "message_id" else name: value for name, value in kept.items() if value}


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [heading, *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heading))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _time(value) if isinstance(value, datetime) else str(value)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
