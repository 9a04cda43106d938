"""Actions: what a person does with dead letters, recorded before it begins and as it goes on.

An action takes exactly the letters that the person saw, and a letter belongs to one action at most: it is taken only
in the state it was seen in. The process that replays an action holds a lease on it, so that no second one does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from bus.database.tables import dead_letter, dead_letter_action
from bus.dead_letters.store import CHOSEN, DISCARDED, REPLAYED

# Longer than one letter takes at the slowest rate, so a lease runs out only when its process died or stood still.
LEASE_SECONDS = 30.0

# `edit` is a replay with another body, of one letter.
Kind = Literal["replay", "edit", "discard"]

_action, _letter = dead_letter_action.c, dead_letter.c
_of_action = _letter.action_id == bindparam("of_action")
_held = update(dead_letter_action).where(_action.id == bindparam("of_action"), _action.held_by == bindparam("holder"))
_mark = (
    update(dead_letter)
    .where(_letter.id == bindparam("of_letter"), _letter.state == CHOSEN)
    .values(state=REPLAYED, handled_at=bindparam("at"), replayed_as=bindparam("sent_as"))
)
# Letters that one statement takes.
_MOST_TAKEN = 1000


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `letters` is how many it took, `left` how many of them are still to be sent."""

    id: int
    kind: Kind
    made_by: str
    chosen_by: str
    letters: int
    left: int
    made_at: datetime


class ActionUnavailable(Exception):
    """The action does not exist, is no replay, or another process replays it. The message says what to do."""


def begin(connection: Connection, kind: Kind, made_by: str, chosen_by: str, letters: Sequence[tuple[int, str]]) -> int:
    """Record an action and take these letters, each given by its number and the state it was seen in.

    Returns the action's number. A letter that another action took first stays with that one.
    """
    now = datetime.now(UTC)
    values = {"kind": kind, "made_by": made_by, "chosen_by": chosen_by, "letters": 0, "made_at": now}
    action_id: int = connection.execute(insert(dead_letter_action).values(values).returning(_action.id)).scalar_one()
    to_state, at = (DISCARDED, now) if kind == "discard" else (CHOSEN, None)
    values = {"state": to_state, "action_id": action_id, "handled_at": at}
    for from_state in {state for _, state in letters}:
        numbers = [number for number, state in letters if state == from_state]
        for start in range(0, len(numbers), _MOST_TAKEN):
            is_taken = and_(_letter.id.in_(numbers[start : start + _MOST_TAKEN]), _letter.state == from_state)
            connection.execute(update(dead_letter).where(is_taken).values(values))
    count = select(func.count()).where(_of_action).scalar_subquery()
    connection.execute(
        update(dead_letter_action).where(_action.id == action_id).values(letters=count), {"of_action": action_id}
    )
    return action_id


def actions(connection: Connection, limit: int, action_id: int | None = None) -> list[Action]:
    """The newest `limit` actions, the newest last; or only the one with this number."""
    left = select(func.count()).where(_letter.action_id == _action.id, _letter.state == CHOSEN).scalar_subquery()
    columns = (_action.id, _action.kind, _action.made_by, _action.chosen_by, _action.letters, _action.made_at)
    statement = select(*columns, left.label("left")).order_by(_action.id.desc()).limit(limit)
    if action_id is not None:
        statement = statement.where(_action.id == action_id)
    return [Action(**row._mapping) for row in reversed(connection.execute(statement).all())]


def claim_lease(connection: Connection, action_id: int, holder: str) -> Action:
    """Take the lease on an action, to send its letters for LEASE_SECONDS. Raises ActionUnavailable."""
    now = datetime.now(UTC)
    is_free = or_(_action.held_until.is_(None), _action.held_until < now)
    taking = update(dead_letter_action).where(_action.id == action_id, is_free)
    taken = connection.execute(taking.values(held_by=holder, held_until=_until(now))).rowcount
    found = actions(connection, 1, action_id)
    if not found or found[0].kind == "discard":
        raise ActionUnavailable(
            f"There is no replay with the number {action_id}. `bus dead-letters actions` lists them."
        )
    if not taken:
        raise ActionUnavailable(f"Another process replays action {action_id}. Try again in {LEASE_SECONDS:g} s.")
    return found[0]


def renew_lease(connection: Connection, action_id: int, holder: str) -> bool:
    """Extend the lease by LEASE_SECONDS from now. False when it ran out and another process took it."""
    values = {"of_action": action_id, "holder": holder}
    return connection.execute(_held.values(held_until=_until(datetime.now(UTC))), values).rowcount == 1


def release_lease(connection: Connection, action_id: int, holder: str) -> None:
    """Give the lease back, so that another process can go on at once."""
    connection.execute(_held.values(held_by=None, held_until=None), {"of_action": action_id, "holder": holder})


def mark_replayed(connection: Connection, letters: Sequence[tuple[int, str]]) -> None:
    """Record that the broker has confirmed replays: each letter's number, and the message id it was sent with."""
    now = datetime.now(UTC)
    sent = [{"of_letter": number, "sent_as": message_id, "at": now} for number, message_id in letters]
    if sent:
        connection.execute(_mark, sent)


def _until(now: datetime) -> datetime:
    return now + timedelta(seconds=LEASE_SECONDS)
