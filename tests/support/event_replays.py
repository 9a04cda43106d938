"""Replays of events without a broker: what would be sent."""

from collections.abc import Sequence

from bus.contract.operator.events import EventFilter
from bus.database.engine import Database
from bus.database.event_replays import begin, counted, send_next
from bus.database.past_events import PastEvents
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome


def replayed(database: Database, filter_: EventFilter, past: PastEvents | None, most: int = 500) -> list[Message]:
    """All messages of a replay, sent in batches of at most `most`."""
    sent: list[Message] = []

    def send(messages: Sequence[Message]) -> list[PublishOutcome]:
        assert len(messages) <= most
        sent.extend(messages)
        return [PublishOutcome.CONFIRMED for _ in messages]

    with database.transaction() as transaction:
        count = counted(transaction.connection, filter_, past)
        action = begin(transaction.connection, "ann", filter_, count, "copies", "")
    while send_next(database, past, action, most, send).left:
        pass
    return sent
