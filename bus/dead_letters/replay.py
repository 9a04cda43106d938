"""Replay: send the dead letters of an action to their operations again, each once."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
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
from bus.security.service_keys import LetterKey
from bus.security.vouching import caller_named, vouch

CONFIRM_SECONDS = 5.0
# Letters that are sent together, with one look and one mark: as many as the rate allows in this time, at most so many.
BATCH_SECONDS, MAX_LETTERS_AT_ONCE = 0.1, 500
# A queue whose service works makes room soon; one that has made none after this many tries stops the replay.
FULL_SECONDS, FULL_TRIES = 1.0, 60

Send = Callable[[Sequence[Message]], Sequence[PublishOutcome]]
Progress = Generator[tuple[int, int], None, None]


def why_not(letter: DeadLetterSummary, operations: Operations, *, has_other_body: bool = False) -> str:
    """Why a letter cannot be sent again; empty when it can."""
    if is_events_queue(letter.origin_queue):
        return "an event is a fact: it is sent as it was" if has_other_body else ""
    operation = operations.get(letter.operation)
    if operation is None:
        return "its queue is no operation of this service"
    if not operation.is_durable:
        return f"it is a {operation.operation_kind}, and no caller waits for its reply any more"
    if not (letter.whole or has_other_body):
        return "secrets were cut from its body, or it was not kept whole; give it another with --body"
    return ""


def replay(database: Database, action_id: int, send: Send, *, rate: float, other_body: bytes | None = None) -> Progress:
    """Send an action's letters, at most `rate` a second, and mark those that were confirmed, batch by batch.

    Yields how many were sent and how many are left, before the first and after each batch. When it is interrupted, the
    unsent letters stay with the action, and another replay of it sends them. `other_body` replaces the letter's own.
    A full queue is given time to make room.

    Raises ActionUnavailable, DatabaseUnavailable, Unavailable when the broker takes no more, and what `send` raises.
    """
    key = LetterKey(database).read()
    holder, size = uuid4().hex, max(1, min(MAX_LETTERS_AT_ONCE, int(rate * BATCH_SECONDS)))
    with database.transaction() as transaction:
        total = claim_lease(transaction.connection, action_id, holder).left
    sent = refusals = 0
    try:
        yield 0, total
        while letters := _next_chosen(database, action_id, size):
            next_at = time.monotonic() + len(letters) / rate
            messages = [
                vouch(message_of(letter, action_id, other_body), caller_named(letter.properties.caller), key)
                for letter in letters
            ]
            outcomes = send(messages)
            failpoints.reach("replay.after-confirm")
            confirmed = [
                (letter.id, message.message_id or "")
                for letter, message, outcome in zip(letters, messages, outcomes, strict=True)
                if outcome is PublishOutcome.CONFIRMED
            ]
            with database.transaction() as transaction:
                mark_replayed(transaction.connection, confirmed)
                is_held = renew_lease(transaction.connection, action_id, holder)
            if not is_held:  # this process stood still for longer than its lease
                raise ActionUnavailable(f"Another process has gone on with action {action_id}, and sends what is left.")
            sent, refusals = sent + len(confirmed), 0 if confirmed else refusals + 1
            yield sent, total - sent
            if len(confirmed) < len(letters):
                _wait_for_room(messages, outcomes, refusals)
            elif sent < total:
                time.sleep(max(0.0, next_at - time.monotonic()))
    finally:
        with database.transaction() as transaction:
            release_lease(transaction.connection, action_id, holder)


def _next_chosen(database: Database, action_id: int, most: int) -> list[DeadLetter]:
    with database.reading() as transaction:
        return next_chosen(transaction.connection, action_id, most)


def _wait_for_room(messages: Sequence[Message], outcomes: Sequence[PublishOutcome], refusals: int) -> None:
    """Pause if a queue is full. Raises Unavailable if it stays full, and for any other outcome."""
    failed = next(place for place, outcome in enumerate(outcomes) if outcome is not PublishOutcome.CONFIRMED)
    if outcomes[failed] is not PublishOutcome.FULL or refusals > FULL_TRIES:
        raise not_taken(messages[failed].queue, outcomes[failed])
    time.sleep(FULL_SECONDS)


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
    """Yields a function that publishes messages and returns what the broker did with each.

    Raises TransportFailure, and Unavailable when the broker cannot be reached; the function raises TransportFailure.
    """
    try:
        with connected(url, "bus-dead-letters") as transport:
            yield lambda messages: _send(transport, messages)
    except BrokerUnreachable:
        raise Unavailable("broker-away", "The broker cannot be reached.") from None


def _send(transport: Transport, messages: Sequence[Message]) -> list[PublishOutcome]:
    if failure := transport.failure:
        raise failure
    return publish_all(transport, messages, CONFIRM_SECONDS)
