"""Replay: send the dead letters of an action to their operations again, each once."""

from collections.abc import Callable, Sequence
from uuid import uuid4

from sqlalchemy import Connection

from bus import failpoints
from bus.contract.operator.actions import Action, ActionProgress, Sent
from bus.database.actions import claim_lease, release_lease
from bus.database.engine import Database
from bus.database.inbox import done_of
from bus.dead_letters.queries import ids_of_those_that_died_again, last_replayed, next_chosen
from bus.dead_letters.store import DeadLetter
from bus.dead_letters.taking import mark_replayed
from bus.messaging.call import EVENTS
from bus.messaging.message import JSON, SENT_AT, Message, now_ms
from bus.messaging.publishing import TEMPORARY, not_taken
from bus.messaging.topology import is_events_queue
from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, continued
from bus.messaging.transport import PublishOutcome
from bus.security.service_keys import LetterKey
from bus.security.vouching import caller_named, vouch

# Letters of a replay whose outcome is looked up.
MOST_LOOKED_UP = 1000

Send = Callable[[Sequence[Message]], Sequence[PublishOutcome]]


def send_next(database: Database, action_id: int, most: int, send: Send, other_body: bytes | None = None) -> Sent:
    """Send the next letters of an action, at most `most`, and mark those that the broker has confirmed.

    No transaction is open while they are sent. `other_body` replaces the letter's own. Letters that are not sent stay
    with the action.

    Raises UnknownAction, ActionBusy and DatabaseUnavailable.
    """
    key, holder = LetterKey(database).read(), uuid4().hex
    with database.transaction() as transaction:
        left = claim_lease(transaction.connection, action_id, holder).left
    confirmed: list[tuple[int, str]] = []
    messages: list[Message] = []
    outcomes: Sequence[PublishOutcome] = ()
    try:
        with database.reading() as transaction:
            letters = next_chosen(transaction.connection, action_id, most)
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
    finally:
        with database.transaction() as transaction:
            mark_replayed(transaction.connection, confirmed)
            release_lease(transaction.connection, action_id, holder)
    failed = [place for place, outcome in enumerate(outcomes) if outcome is not PublishOutcome.CONFIRMED]
    why_stopped = str(not_taken(messages[failed[0]].queue, outcomes[failed[0]])) if failed else ""
    is_full = bool(failed) and outcomes[failed[0]] in TEMPORARY
    return Sent(sent=len(confirmed), left=left - len(confirmed), why_stopped=why_stopped, is_full=is_full)


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


def progress_of(connection: Connection, action: Action) -> ActionProgress:
    """How far an action is, and what became of the letters that it has sent."""
    died = set(ids_of_those_that_died_again(connection, action.id))
    asked: dict[str, set[str]] = {}
    for letter in last_replayed(connection, action.id, MOST_LOOKED_UP):
        if letter.sent_as not in died:
            is_event = is_events_queue(letter.origin_queue)
            caller = EVENTS if is_event else caller_named(letter.properties.caller).id
            asked.setdefault(caller, set()).add(letter.sent_as)
    is_open = {sent_as for caller, ids in asked.items() for sent_as in ids - done_of(connection, caller, ids)}
    return ActionProgress(action=action, sent=action.taken - action.left, died_again=len(died), open=len(is_open))
