"""The output of `bus dead-letters`: text for a terminal, and JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from bus.contract.operator.actions import Action
from bus.contract.operator.dead_letters import DeadLetterGroup, DeadLetterInFull, DeadLetterSummary
from bus.contract.operator.requests import FailedAttempt
from bus.dead_letters.body import is_json, readable

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
        (
            *(str(each.id), each.kind, _time(each.made_at), each.made_by, *_counts(each)),
            *(each.chosen_by, each.reason),
        )
        for each in actions
    ]
    return _table(("ACTION", "KIND", "MADE", "BY", "TAKEN", "LEFT", "CHOSEN BY", "REASON"), rows)


def _counts(action: Action) -> tuple[str, str]:
    more = "+" if action.is_more else ""
    return f"{action.taken}{more}", f"{action.left}{more}"


def letter_text(found: DeadLetterInFull) -> str:
    """One dead letter in full."""
    fields = {name: value for name, value in _fields(found).items() if name != "traceback"}
    text = "".join(
        f"{name.replace('_', ' '):<{NAME_WIDTH}}{_word(value)}\n"
        for name, value in fields.items()
        if value not in (None, "")
    )
    table = _table(("TRY", "FAILED", "WORKER", "ERROR"), [_try(each) for each in found.attempts])
    tries = "\n".join(["", *table]) if found.attempts else ""
    return "\n".join(filter(None, (text, readable(found.body), tries, found.traceback and f"\n{found.traceback}")))


def letter_json(found: DeadLetterInFull) -> dict[str, Any]:
    """The same for programs; a body that is not JSON is text, with invalid UTF-8 escaped."""
    body: object = msgspec.Raw(found.body.encode()) if is_json(found.body) else found.body
    return {**_fields(found), "properties": _properties(found), "body": body, "attempts": found.attempts}


def in_json(value: object) -> str:
    """The value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def echo_lines(texts: Iterable[str]) -> None:
    """Print each as a line."""
    for text in texts:
        click.echo(text)


def _fields(found: DeadLetterInFull) -> dict[str, Any]:
    """What a letter has, without its body."""
    others = {name: getattr(found, name) for name in ("detail", "traceback", "handled_at", "replayed_as")}
    return {**msgspec.structs.asdict(found.letter), **others, **_properties(found)}


def _try(attempt: FailedAttempt) -> Sequence[str]:
    error = f"{attempt.error_class}: {attempt.detail}" if attempt.detail else attempt.error_class
    return str(attempt.number), _time(attempt.failed_at), attempt.worker, error


def _properties(found: DeadLetterInFull) -> dict[str, str]:
    kept = msgspec.structs.asdict(found.properties)
    return {f"original_{name}" if name == "message_id" else name: value for name, value in kept.items() if value}


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
