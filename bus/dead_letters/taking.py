"""Taking: an action takes exactly the letters that the operator saw, and a letter belongs to one action at most.

It is taken only in the state it was seen in.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, or_, select, update

from bus.contract.operator.dead_letters import CHOSEN, DISCARDED, REPLAYED, DeadLetterFilter, LetterActionKind
from bus.database.actions import record
from bus.database.clock import now
from bus.database.tables import dead_letter, dead_letter_action
from bus.dead_letters.queries import matching

_letter = dead_letter.c
# What was sent counts, even where an operator has discarded the letter meanwhile.
_mark = (
    update(dead_letter)
    .where(_letter.id == bindparam("of_letter"), or_(_letter.state == CHOSEN, _letter.state == DISCARDED))
    .values(state=REPLAYED, handled_at=bindparam("at"), replayed_as=bindparam("sent_as"))
)


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
    counting = update(dead_letter_action).where(dead_letter_action.c.id == action_id)
    connection.execute(counting.values(letters=count))
    return action_id, count


def mark_replayed(connection: Connection, letters: Sequence[tuple[int, str]]) -> None:
    """Record that the broker has confirmed replays: each letter's number, and the message id it was sent with."""
    moment = now(connection)
    sent = [{"of_letter": number, "sent_as": message_id, "at": moment} for number, message_id in letters]
    if sent:
        connection.execute(_mark, sent)
