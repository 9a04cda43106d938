"""Replay: send the dead letters of an action to their operations again, each once."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from uuid import uuid4

from bus import failpoints
from bus.contract.problems import Unavailable
from bus.database.engine import Database
from bus.dead_letters.actions import ActionUnavailable, claim_lease, mark_replayed, release_lease, renew_lease
from bus.dead_letters.body import Operations
from bus.dead_letters.queries import next_chosen
from bus.dead_letters.store import DeadLetter, DeadLetterSummary
from bus.messaging.connect import BrokerUnreachable, connected
from bus.messaging.message import JSON, SENT_AT, Message, now_ms
from bus.messaging.publishing import not_taken, publish_all
from bus.messaging.topology import is_events_queue
from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, continued
from bus.messaging.transport import PublishOutcome, Transport

CONFIRM_SECONDS = 5.0

Send = Callable[[Message], None]
Progress = Generator[tuple[int, int], None, None]


def why_not(letter: DeadLetterSummary, operations: Operations, *, has_other_body: bool = False) -> str:
    """Why a letter cannot be sent again; empty when it can."""
    if is_events_queue(letter.origin_queue):
        return "an event is a fact: it is sent as it was" if has_other_body else ""
    operation = operations.get(letter.operation)
    if operation is None:
        return "its queue is no operation of this service"
    if not operation.is_command:
        return "it is a query, and no caller waits for its reply any more"
    if not (letter.whole or has_other_body):
        return "secrets were cut from its body, or it was not kept whole; give it another with --body"
    return ""


def replay(database: Database, action_id: int, send: Send, *, rate: float, other_body: bytes | None = None) -> Progress:
    """Send an action's letters, at most `rate` a second, and mark each when it is confirmed.

    Yields how many were sent and how many are left, before the first and after each. When it is interrupted, the
    unsent letters stay with the action, and another replay of it sends them. `other_body` replaces the letter's own.

    Raises ActionUnavailable, DatabaseUnavailable, and what `send` raises.
    """
    holder = uuid4().hex
    with database.transaction() as transaction:
        total = claim_lease(transaction.connection, action_id, holder).left
    try:
        yield 0, total
        for sent, letter in enumerate(_letters(database, action_id), 1):
            next_at = time.monotonic() + 1 / rate
            message = message_of(letter, action_id, other_body)
            send(message)
            failpoints.reach("replay.after-confirm")
            with database.transaction() as transaction:
                mark_replayed(transaction.connection, letter.id, message.message_id or "")
                is_held = renew_lease(transaction.connection, action_id, holder)
            if not is_held:  # this process stood still for longer than its lease
                raise ActionUnavailable(f"Another process has gone on with action {action_id}, and sends what is left.")
            yield sent, total - sent
            if sent < total:
                time.sleep(max(0.0, next_at - time.monotonic()))
    finally:
        with database.transaction() as transaction:
            release_lease(transaction.connection, action_id, holder)


def message_of(letter: DeadLetter, action_id: int, other_body: bytes | None) -> Message:
    """The request to send for a letter. It asks for no reply.

    It keeps its message id, so the inbox recognises it as before. Without one it gets the letter's id, so that a second
    replay has no second effect. With another body it is another request, with an id of its own.
    """
    is_event = is_events_queue(letter.origin_queue)
    kept, is_edited = letter.properties, other_body is not None
    message_id = f"{letter.letter_id}-{action_id}" if is_edited else letter.message_id or letter.letter_id
    trace = continued({TRACEPARENT: kept.traceparent, TRACESTATE: kept.tracestate})
    return Message(
        queue=letter.origin_queue if is_event else letter.operation,
        type=letter.operation if is_event else None,
        body=letter.body if other_body is None else other_body,
        message_id=message_id,
        content_type=JSON if is_edited else kept.content_type or None,
        content_encoding=None if is_edited else kept.content_encoding or None,
        persistent=True,
        headers={"replay-of": letter.letter_id, SENT_AT: now_ms(), **trace.headers},
    )


@contextmanager
def sending(url: str) -> Iterator[Send]:
    """Yields a function that publishes a message and returns when the broker has confirmed it.

    Raises TransportFailure, and Unavailable when the broker cannot be reached; the function raises both too.
    """
    try:
        with connected(url, "bus-dead-letters") as transport:
            yield lambda message: _send(transport, message)
    except BrokerUnreachable:
        raise Unavailable("broker-away", "The broker cannot be reached.") from None


def _send(transport: Transport, message: Message) -> None:
    if failure := transport.failure:
        raise failure
    (outcome,) = publish_all(transport, [message], CONFIRM_SECONDS)
    if outcome is not PublishOutcome.CONFIRMED:
        raise not_taken(message.queue, outcome)


def _letters(database: Database, action_id: int) -> Iterator[DeadLetter]:
    while True:
        with database.reading() as transaction:
            letter = next_chosen(transaction.connection, action_id)
        if letter is None:
            return
        yield letter
