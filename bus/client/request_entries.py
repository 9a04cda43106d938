"""What happened to a request, one sentence for each thing, in plain words."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from bus.contract.builtin import is_send
from bus.contract.operator.requests import Completion, Emission, FailedAttempt, RelatedDeadLetter
from bus.messaging.call import EVENTS


@dataclass(frozen=True)
class Entry:
    """One thing that happened, as a sentence. `detail` and `traceback` say more; `letter` is a dead letter's number."""

    at: datetime
    service: str
    text: str
    level: Literal["", "wrong", "done"] = ""
    detail: str = ""
    traceback: str = ""
    letter: int = 0
    action: int = 0


def of_attempt(service: str, attempt: FailedAttempt) -> Entry:
    """A try that failed."""
    what = f"Try {attempt.number} of {attempt.operation} failed at the worker on {attempt.worker}"
    is_last = attempt.retry_seconds is None
    after = "It was the last." if is_last else f"The next one comes {attempt.retry_seconds} s later."
    error = f"{attempt.error_class}: {attempt.detail}" if attempt.detail else attempt.error_class
    return Entry(attempt.failed_at, service, f"{what}. {after}", "wrong", error, attempt.traceback)


def of_dead(service: str, letter: RelatedDeadLetter) -> Iterator[Entry]:
    """A dead letter, and what an operator did with it."""
    text = f"{letter.operation or 'A message'} became dead letter {letter.id}: {letter.reason}."
    yield Entry(letter.last_at, service, text, "wrong", letter.detail, letter=letter.id)
    if letter.taken_at is None:
        return
    why = f" ({letter.taken_for})" if letter.taken_for else ""
    if letter.state == "discarded":
        what = "discarded it"
    elif letter.replayed_as is None:
        what = "took it, to be sent again"
    else:
        same = letter.replayed_as == letter.message_id
        what = f"had it sent again, {'with the same message id' if same else f'as {letter.replayed_as}'}"
    text = f"Action {letter.action_id} of {letter.taken_by} {what}{why}."
    yield Entry(letter.taken_at, service, text, letter=letter.id, action=letter.action_id or 0)


def of_completion(service: str, done: Completion) -> Entry:
    """A request that was carried out or refused, or an event that was handled."""
    if done.caller == EVENTS:
        return Entry(done.done_at, service, f"The listener {service} handled the event {done.operation}.", "done")
    verb = "refused" if done.status >= 400 else "carried out and committed"
    answer = answer_in_words(done.status)
    unfinal = " It is not final: sent again, it is tried again." if done.status == HTTPStatus.TOO_MANY_REQUESTS else ""
    text = f"{done.operation}, sent by {caller_in_words(done.caller)}, was {verb}; {answer}.{unfinal}"
    return Entry(done.done_at, service, text, "done", done.reply)


def of_emission(service: str, emission: Emission) -> Iterator[Entry]:
    """An event or a command, and what became of it."""
    what = "The command that it sends" if is_send(emission.name) else f"The event {emission.name}"
    name = f"{what} ({emission.message_id})"
    yield Entry(emission.made_at, service, f"{name} was committed with it.")
    if emission.sent_at is not None:
        yield Entry(emission.sent_at, service, f"{name} was sent to the broker.", "done")
    elif emission.refused_at is not None:
        text = f"{name} was refused by the full queue of a listener. It is tried again and again."
        yield Entry(emission.refused_at, service, text, "wrong")
    else:
        yield Entry(emission.made_at, service, f"{name} waits to be sent.")


def caller_in_words(caller: str) -> str:
    """A recorded caller, for a person."""
    if caller == "anonymous":
        return "a caller without an account"
    return caller.replace("service:", "the service ") if caller.startswith("service:") else f"account {caller}"


def answer_in_words(status: int) -> str:
    """A stored status, for a person."""
    try:
        return f"the answer is {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"the answer is {status}"


def place_of(moment: datetime) -> datetime:
    """For the order: in the milliseconds that a dead letter has.

    Rows of SQLite have whole seconds: what has no parts of one comes after what is known better.
    """
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000 if moment.microsecond else 999_999)
