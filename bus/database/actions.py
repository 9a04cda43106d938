"""Actions: what an operator does with a service, recorded before it begins and as it goes on.

The worker that sends messages of an action holds a lease on it, so that no second one does.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    update,
)

from bus.contract.operator.actions import Action, ActionBusy, ActionKind, UnknownAction
from bus.contract.operator.dead_letters import CHOSEN
from bus.database.clock import now
from bus.database.tables import dead_letter, dead_letter_action, event_replay

# Longer than one batch takes, so a lease runs out only when its worker died or stood still.
LEASE_SECONDS = 30.0
# The kinds of actions whose messages are sent.
SENDING = ("replay", "edit", "events")

_action, _letter, _replay = dead_letter_action.c, dead_letter.c, event_replay.c
_held = update(dead_letter_action).where(_action.id == bindparam("of_action"), _action.held_by == bindparam("holder"))

_letters_left = select(func.count()).where(_letter.action_id == _action.id, _letter.state == CHOSEN).scalar_subquery()
_events_left: ColumnElement[int] = case(
    (_replay.is_over, 0), (_action.letters <= _replay.sent, 1), else_=_action.letters - _replay.sent
)
_columns: tuple[ColumnElement[Any], ...] = (
    *(_action[name] for name in Action.__struct_fields__ if name not in ("taken", "left", "is_more")),
    case((_replay.is_over, _replay.sent), else_=_action.letters).label("taken"),
    case((and_(_replay.is_more, not_(_replay.is_over)), true()), else_=false()).label("is_more"),
    case((_action.kind == "events", _events_left), else_=_letters_left).label("left"),
)
_kind = select(_action.kind).where(_action.id == bindparam("of_action"))
_newest = (
    select(*_columns)
    .select_from(dead_letter_action.outerjoin(event_replay, _replay.action_id == _action.id))
    .order_by(_action.id.desc())
)


def record(
    connection: Connection, kind: ActionKind, made_by: str, chosen_by: str, reason: str = "", taken: int = 0
) -> int:
    """Record an action; returns its number. `taken` is how many messages it takes."""
    values = {
        "kind": kind,
        "made_by": made_by,
        "chosen_by": chosen_by,
        "reason": reason,
        "letters": taken,
        "made_at": now(connection),
    }
    number: int = connection.execute(insert(dead_letter_action).values(values).returning(_action.id)).scalar_one()
    return number


def actions(connection: Connection, limit: int) -> list[Action]:
    """The newest `limit` actions, the newest last."""
    return [Action(**row._mapping) for row in reversed(connection.execute(_newest.limit(limit)).all())]


def action_with(connection: Connection, action_id: int) -> Action:
    """The action with this number. Raises UnknownAction."""
    row = connection.execute(_newest.where(_action.id == action_id)).first()
    if row is None:
        raise UnknownAction
    return Action(**row._mapping)


def kind_of(connection: Connection, action_id: int) -> ActionKind:
    """The kind of the action with this number, without counting its messages. Raises UnknownAction."""
    kind: ActionKind | None = connection.execute(_kind, {"of_action": action_id}).scalar_one_or_none()
    if kind is None:
        raise UnknownAction
    return kind


def claim_lease(connection: Connection, action_id: int, holder: str) -> Action:
    """Take the lease on an action, to send its messages for LEASE_SECONDS. Raises UnknownAction and ActionBusy."""
    moment = now(connection)
    is_free = or_(_action.held_until.is_(None), _action.held_until < moment)
    taking = update(dead_letter_action).where(and_(_action.id == action_id, is_free))
    until = moment + timedelta(seconds=LEASE_SECONDS)
    taken = connection.execute(taking.values(held_by=holder, held_until=until)).rowcount
    found = action_with(connection, action_id)
    if found.kind not in SENDING:
        raise UnknownAction
    if not taken:
        raise ActionBusy
    return found


def release_lease(connection: Connection, action_id: int, holder: str) -> bool:
    """Give the lease back, so that another worker can go on at once; False if this is no longer its holder."""
    holding = {"of_action": action_id, "holder": holder}
    return connection.execute(_held.values(held_by=None, held_until=None), holding).rowcount == 1
