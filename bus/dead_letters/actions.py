"""Actions: what an operator does with a service and its dead letters, recorded before it begins and as it goes on.

An action takes exactly the letters that the operator saw, and a letter belongs to one action at most: it is taken only
in the state it was seen in. The worker that sends letters of an action holds a lease on it, so that no second one does.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, or_, select, update

from bus.contract.operator import (
    Action,
    ActionBusy,
    ActionKind,
    DeadLetterFilter,
    LetterActionKind,
    UnknownAction,
)
from bus.database.clock import now
from bus.database.tables import dead_letter, dead_letter_action
from bus.dead_letters.queries import matching
from bus.dead_letters.store import CHOSEN, DISCARDED, REPLAYED

# Longer than one batch takes, so a lease runs out only when its worker died or stood still.
LEASE_SECONDS = 30.0
# The kinds of actions whose letters are sent.
SENDING = ("replay", "edit")

_action, _letter = dead_letter_action.c, dead_letter.c
_held = update(dead_letter_action).where(_action.id == bindparam("of_action"), _action.held_by == bindparam("holder"))
# What was sent counts, even where an operator has discarded the letter meanwhile.
_mark = (
    update(dead_letter)
    .where(_letter.id == bindparam("of_letter"), or_(_letter.state == CHOSEN, _letter.state == DISCARDED))
    .values(state=REPLAYED, handled_at=bindparam("at"), replayed_as=bindparam("sent_as"))
)


def record(connection: Connection, kind: ActionKind, made_by: str, chosen_by: str, reason: str = "") -> int:
    """Record an action that has taken no letter; returns its number."""
    values = {
        "kind": kind,
        "made_by": made_by,
        "chosen_by": chosen_by,
        "reason": reason,
        "letters": 0,
        "made_at": now(connection),
    }
    number: int = connection.execute(insert(dead_letter_action).values(values).returning(_action.id)).scalar_one()
    return number


def take(
    connection: Connection,
    kind: LetterActionKind,
    made_by: str,
    chosen: DeadLetterFilter,
    may_be_taken: ColumnElement[bool],
    limit: int,
    reason: str,
) -> tuple[int, int]:
    """Record an action, and have it take the first `limit` letters of a filter that names a state.

    Returns the action's number, and how many letters it took. A letter that another action takes first stays with that.
    """
    action_id = record(connection, kind, made_by, str(chosen), reason)
    condition = and_(matching(chosen), may_be_taken)
    first = select(_letter.id).where(condition).order_by(_letter.id).limit(limit)
    to_state, at = (DISCARDED, now(connection)) if kind == "discard" else (CHOSEN, None)
    taking = update(dead_letter).where(_letter.id.in_(first), _letter.state == chosen.state)
    count = connection.execute(taking.values(state=to_state, action_id=action_id, handled_at=at)).rowcount
    connection.execute(update(dead_letter_action).where(_action.id == action_id).values(letters=count))
    return action_id, count


def actions(connection: Connection, limit: int, action_id: int | None = None) -> list[Action]:
    """The newest `limit` actions, the newest last; or only the one with this number."""
    left = select(func.count()).where(_letter.action_id == _action.id, _letter.state == CHOSEN).scalar_subquery()
    columns = [_action[name] for name in Action.__struct_fields__ if name != "left"]
    statement = select(*columns, left.label("left")).order_by(_action.id.desc()).limit(limit)
    if action_id is not None:
        statement = statement.where(_action.id == action_id)
    return [Action(**row._mapping) for row in reversed(connection.execute(statement).all())]


def claim_lease(connection: Connection, action_id: int, holder: str) -> Action:
    """Take the lease on an action, to send its letters for LEASE_SECONDS. Raises UnknownAction and ActionBusy."""
    moment = now(connection)
    is_free = or_(_action.held_until.is_(None), _action.held_until < moment)
    taking = update(dead_letter_action).where(_action.id == action_id, is_free)
    until = moment + timedelta(seconds=LEASE_SECONDS)
    taken = connection.execute(taking.values(held_by=holder, held_until=until)).rowcount
    found = actions(connection, 1, action_id)
    if not found or found[0].kind not in SENDING:
        raise UnknownAction
    if not taken:
        raise ActionBusy
    return found[0]


def release_lease(connection: Connection, action_id: int, holder: str) -> None:
    """Give the lease back, so that another worker can go on at once."""
    connection.execute(_held.values(held_by=None, held_until=None), {"of_action": action_id, "holder": holder})


def mark_replayed(connection: Connection, letters: Sequence[tuple[int, str]]) -> None:
    """Record that the broker has confirmed replays: each letter's number, and the message id it was sent with."""
    moment = now(connection)
    sent = [{"of_letter": number, "sent_as": message_id, "at": moment} for number, message_id in letters]
    if sent:
        connection.execute(_mark, sent)
