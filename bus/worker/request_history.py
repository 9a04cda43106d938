"""The history of one request, or event: what a service's database has of it, for operators.

Nothing is stored for this but the tries that failed. What a request has emitted is found by its ids, which begin with
the request's origin, among the rows of its transaction.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, and_, func, or_, select

from bus.contract.codec import read_json
from bus.contract.identity import ANONYMOUS
from bus.contract.operator.dead_letters import OriginalProperties
from bus.contract.operator.requests import (
    MAX_KNOWN,
    MAX_REPLY,
    Completion,
    Emission,
    FailedAttempt,
    GetRequest,
    KnownOfRequest,
    RelatedDeadLetter,
)
from bus.database.numbers import among_first
from bus.database.tables import dead_letter, dead_letter_action, failed_attempt, inbox, outbox
from bus.dead_letters.store import DeadLetter
from bus.messaging.call import EVENTS, ORIGIN_CHARACTERS, origin_of
from bus.messaging.topology import is_events_queue
from bus.security.vouching import caller_named

# No index has events by their ids or traces: it would cost every change. So the newest are searched.
MAX_SEARCHED = 20_000
# Requests whose emissions are looked up, and rows of one moment that are looked through.
MAX_CAUSES, MAX_OF_A_MOMENT = 20, 5_000

_ORIGIN = re.compile(rf"[0-9a-f]{{{ORIGIN_CHARACTERS}}}")
# A trace id, or the id of something emitted.
_HEXADECIMAL = re.compile(r"[0-9a-f]{32}")

_inbox, _outbox, _attempt = inbox.c, outbox.c, failed_attempt.c
_letter, _action = dead_letter.c, dead_letter_action.c
_attempt_columns = tuple(_attempt[name] for name in FailedAttempt.__struct_fields__)
_keys = (_inbox.message_id, _inbox.caller, _inbox.operation, _inbox.status, _inbox.done_at)
# Four bytes are the longest character of UTF-8.
_completion_columns = (*_keys, func.substr(_inbox.reply, 1, 4 * MAX_REPLY).label("reply"))
_emission_columns = (
    *(_outbox.event_id, _outbox.name, _outbox.made_at, _outbox.sent_at, _outbox.refused_at, _outbox.traceparent),
)


def known_of(connection: Connection, request: GetRequest) -> KnownOfRequest:
    """All that is stored of a request."""
    which = request.which
    if request.by == "origin":
        return _begun_with(connection, which)
    is_hexadecimal = _HEXADECIMAL.fullmatch(which) is not None
    completions = _completions(connection, _inbox.message_id == which)
    emissions = _newest_emissions(connection, which) if is_hexadecimal else []
    completions += _causes_of(connection, emissions, known=completions)
    attempts = attempts_with(connection, _attempt.message_id == which, _attempt.trace_id == which)
    # A letter that was edited is sent as its own id and the number of the action.
    letter_ids = (which, which.rpartition("-")[0])
    names = (_letter.message_id == which, _letter.letter_id.in_(letter_ids), _letter.trace_id == which)
    letters = _letters(connection, *names)
    return _known(connection, completions, attempts, letters, emissions)


def attempts_of(connection: Connection, letter: DeadLetter) -> Sequence[FailedAttempt]:
    """The tries of a dead letter at which its handler failed."""
    if letter.message_id is None:
        return attempts_with(connection, and_(_attempt.trace_id == letter.trace_id, _attempt.message_id.is_(None)))
    is_its = and_(_attempt.message_id == letter.message_id, _attempt.caller == _caller_of(letter))
    return attempts_with(connection, is_its)


def attempts_with(connection: Connection, *conditions: ColumnElement[bool]) -> list[FailedAttempt]:
    """The newest tries for which one of the conditions holds, the oldest first."""
    which = among_first(_attempt.id, *conditions, most=MAX_KNOWN)
    rows = connection.execute(select(*_attempt_columns).where(which).order_by(_attempt.id))
    return [FailedAttempt(**row._mapping) for row in rows]


def _begun_with(connection: Connection, origin: str) -> KnownOfRequest:
    """What was made of all that one request has emitted and sent."""
    if not _ORIGIN.fullmatch(origin):
        return KnownOfRequest(completions=[], attempts=[], letters=[], emissions=[])
    completions = _completions(connection, _begins_with(_inbox.message_id, origin))
    attempts = attempts_with(connection, _begins_with(_attempt.message_id, origin))
    letters = _letters(connection, _begins_with(_letter.message_id, origin))
    return _known(connection, completions, attempts, letters, [])


def _known(
    connection: Connection,
    completions: Sequence[Completion],
    attempts: Sequence[FailedAttempt],
    letters: Sequence[RelatedDeadLetter],
    emissions: Sequence[Emission],
) -> KnownOfRequest:
    """With what the completed requests have emitted."""
    found = {each.message_id: each for each in emissions}
    for completion in completions[:MAX_CAUSES]:
        is_of_it = func.substr(_outbox.event_id, 1, ORIGIN_CHARACTERS) == completion.origin
        at_that_moment = _at(connection, _outbox.made_at, completion.done_at)
        for each in _emissions(connection, and_(at_that_moment, is_of_it)):
            found[each.message_id] = each
    in_order = sorted(found.values(), key=lambda each: each.made_at)
    return KnownOfRequest(completions=completions, attempts=attempts, letters=letters, emissions=in_order[-MAX_KNOWN:])


def _completions(connection: Connection, which: ColumnElement[bool]) -> list[Completion]:
    statement = select(*_completion_columns).where(which).order_by(_inbox.done_at.desc()).limit(MAX_KNOWN)
    return [_completion(row) for row in reversed(connection.execute(statement).all())]


def _completion(row: Row[Any]) -> Completion:
    # The beginning of an empty one is null on SQLite.
    reply = bytes(row.reply or b"").decode("utf-8", "replace")[:MAX_REPLY]
    return Completion(
        **{**row._mapping, "reply": reply, "origin": _origin_of(row.message_id, row.caller, row.operation)}
    )


def _origin_of(message_id: str, caller: str, operation: str) -> str:
    """The origin by a row of the inbox."""
    return origin_of(ANONYMOUS.id if caller == EVENTS else caller, operation, message_id)


def _newest_emissions(connection: Connection, which: str) -> list[Emission]:
    """Among the last, those with this id, or of this trace; `which` are hexadecimal digits."""
    oldest = select(func.max(_outbox.id) - MAX_SEARCHED).scalar_subquery()
    is_it = or_(_outbox.event_id == which, _outbox.traceparent.like(f"__-{which}-%"))
    return _emissions(connection, and_(_outbox.id > oldest, is_it))


def _emissions(connection: Connection, which: ColumnElement[bool]) -> list[Emission]:
    statement = select(*_emission_columns).where(which).order_by(_outbox.id.desc()).limit(MAX_KNOWN)
    return [
        Emission(
            message_id=row.event_id,
            name=row.name,
            made_at=row.made_at,
            sent_at=row.sent_at,
            refused_at=row.refused_at,
            trace_id=(row.traceparent or "")[3:35],
        )
        for row in reversed(connection.execute(statement).all())
    ]


def _causes_of(connection: Connection, emissions: Sequence[Emission], known: Iterable[Completion]) -> list[Completion]:
    """The requests that have emitted these, and are not known yet."""
    left = {each.message_id[:ORIGIN_CHARACTERS]: each.made_at for each in emissions}
    for completion in known:
        left.pop(completion.origin, None)
    found: list[Completion] = []
    for moment in list(dict.fromkeys(left.values()))[:MAX_CAUSES]:
        then = select(*_keys).where(_at(connection, _inbox.done_at, moment)).limit(MAX_OF_A_MOMENT)
        for row in connection.execute(then).all():
            if left.pop(_origin_of(row.message_id, row.caller, row.operation), None) is not None:
                is_it = and_(_inbox.message_id == row.message_id, _inbox.caller == row.caller)
                found += _completions(connection, is_it)
    return found


def _letters(connection: Connection, *conditions: ColumnElement[bool]) -> list[RelatedDeadLetter]:
    columns = (
        *(_letter[name] for name in RelatedDeadLetter.__struct_fields__ if name in _letter),
        *(_letter.origin_queue, _letter.properties, _action.made_at.label("taken_at")),
        func.coalesce(_action.made_by, "").label("taken_by"),
        func.coalesce(_action.reason, "").label("taken_for"),
    )
    taken = dead_letter.outerjoin(dead_letter_action, _letter.action_id == _action.id)
    which = among_first(_letter.id, *conditions, most=MAX_KNOWN)
    statement = select(*columns).select_from(taken).where(which).order_by(_letter.id)
    return [_related(row) for row in connection.execute(statement)]


def _related(row: Row[Any]) -> RelatedDeadLetter:
    columns = row._asdict()
    queue, properties = columns.pop("origin_queue"), read_json(columns.pop("properties"), OriginalProperties)
    is_event = is_events_queue(queue)
    caller = EVENTS if is_event else caller_named(properties.caller).id
    return RelatedDeadLetter(**{**columns, "trace_id": row.trace_id or ""}, is_event=is_event, caller=caller)


def _caller_of(letter: DeadLetter) -> str:
    return EVENTS if is_events_queue(letter.origin_queue) else caller_named(letter.properties.caller).id


def _begins_with(column: Column[Any], origin: str) -> ColumnElement[bool]:
    """By the column's index, in whatever order the database has text: digits come before letters in all of them."""
    is_near = and_(column >= origin, column < f"{origin}g")
    return and_(is_near, func.substr(column, 1, ORIGIN_CHARACTERS) == origin)


def _at(connection: Connection, column: Column[Any], moment: datetime) -> ColumnElement[bool]:
    """Rows of the transaction of this moment. The clock of SQLite has whole seconds, and goes on in a transaction."""
    if connection.dialect.name == "sqlite":
        return column.between(moment - timedelta(seconds=2), moment + timedelta(seconds=2))
    is_then: ColumnElement[bool] = column == moment
    return is_then
