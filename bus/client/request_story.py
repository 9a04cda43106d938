"""The story of one request, told in words: what all services have stored of it, of its events and of their listeners.

Rules only, and the questions to ask; who asks has the operator's token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Literal

from bus.contract.builtin import is_send
from bus.contract.problems import ProblemError
from bus.contract.request_history import (
    Completion,
    Emission,
    FailedAttempt,
    GetRequest,
    KnownOfRequest,
    RelatedDeadLetter,
)
from bus.messaging.call import EVENTS
from bus.messaging.message import check_message_id

# Questions to each service: one leads to the next, from a trace to its requests, from these to events and replays.
MAX_QUESTIONS = 12

State = Literal["done", "pending", "dead"]
_DONE: State = "done"
# What may have become of a request that no service knows.
UNKNOWN = (
    "No service knows it. Then it is one of these:",
    "It waits in its queue, or for the database, a lock or a service that is away; no worker has failed with it.",
    "It was refused before it was carried out, because it was not acceptable, or its caller was not known.",
    "It is a query, or a transient command such as a log-in, and was answered.",
    "It is older than KEEP_DAYS.",
    "It never came. A trace id is known where a try has failed, a message has died, or an event was emitted lately.",
)

Ask = Callable[[str, GetRequest], KnownOfRequest]


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


@dataclass(frozen=True)
class Verdict:
    """What became of one request of one caller, or of one event at one listener."""

    service: str
    message_id: str
    state: State
    text: str
    is_event: bool


@dataclass(frozen=True)
class Story:
    """What became of what was asked for. `troubles` are the services that did not answer, and why."""

    which: str
    verdicts: Sequence[Verdict] = ()
    entries: Sequence[Entry] = ()
    traces: Sequence[str] = ()
    troubles: dict[str, str] = field(default_factory=dict)


def story_of(which: str, services: Sequence[str], ask: Ask) -> Story:
    """Ask the services, and tell what they know. `ask` may raise ProblemError for a service that does not answer.

    Raises Invalid for what cannot be an id.
    """
    check_message_id(which)
    questions, told, troubles = [GetRequest(which=which)], _Told(), dict[str, str]()
    for question in questions:  # which grow meanwhile
        for service in services:
            if service in troubles:
                continue
            try:
                known = ask(service, question)
            except ProblemError as problem:
                troubles[service] = problem.problem.detail or problem.problem.title
                continue
            told.add(service, known)
            for lead in _leads_of(known):
                if lead not in questions and len(questions) < MAX_QUESTIONS:
                    questions.append(lead)
    found = (told.completions, told.attempts, told.letters)
    keys = dict.fromkeys((service, *_key(each)) for group in found for service, each in group)
    verdicts = [told.verdict(service, key) for service, *key in keys]
    named = [each.trace_id for _, each in told.attempts] + [each.trace_id for _, each in told.letters]
    traces = dict.fromkeys([*named, *(each.trace_id for _, each in told.emissions)])
    entries = sorted(told.entries(), key=lambda each: _place_of(each.at))
    return Story(which, verdicts, entries, [each for each in traces if each and each != which], troubles)


def _leads_of(known: KnownOfRequest) -> Iterator[GetRequest]:
    """What to ask all services next."""
    for letter in known.letters:
        for message_id in (letter.message_id, letter.replayed_as):
            if message_id:
                yield GetRequest(which=message_id)
    parts: list[Part] = [*known.completions, *known.attempts]
    for message_id, caller, _ in map(_key, parts):
        if message_id and caller != EVENTS:
            yield GetRequest(which=message_id)
    # Whether or not its service has its events still: a listener may.
    for completion in known.completions:
        yield GetRequest(which=completion.origin, by="origin")


Part = Completion | FailedAttempt | RelatedDeadLetter


def _key(part: Part) -> list[str]:
    """What is the same in all parts of one request."""
    return [part.message_id or "", part.caller, part.operation]


class _Told:
    """What the services have answered, each thing once."""

    def __init__(self) -> None:
        self.completions: dict[tuple[str, Completion], None] = {}
        self.attempts: dict[tuple[str, FailedAttempt], None] = {}
        self.letters: dict[tuple[str, RelatedDeadLetter], None] = {}
        self.emissions: dict[tuple[str, Emission], None] = {}

    def add(self, service: str, known: KnownOfRequest) -> None:
        self.completions |= {(service, each): None for each in known.completions}
        self.attempts |= {(service, each): None for each in known.attempts}
        self.letters |= {(service, each): None for each in known.letters}
        self.emissions |= {(service, each): None for each in known.emissions}

    def verdict(self, service: str, key: Sequence[str]) -> Verdict:
        """What became of one request, or one event; `key` is that of one of its parts."""
        message_id, caller, operation = key
        is_event = caller == EVENTS
        done = [each for at, each in self.completions if at == service and _key(each) == key]
        letters = [each for at, each in self.letters if at == service and _key(each) == key]
        if done:
            state, text = _DONE, "handled" if is_event else answer_in_words(done[-1].status)
        elif letters:
            state, text = _of_letter(letters[-1], self._done_as(service, letters[-1]))
        else:
            state, text = _of_last([each for at, each in self.attempts if at == service and _key(each) == key][-1])
        who = "" if is_event else f" of {caller_in_words(caller)}"
        return Verdict(service, message_id, state, f"{operation}{who}: {text}", is_event)

    def _done_as(self, service: str, letter: RelatedDeadLetter) -> Completion | None:
        """The answer to what a letter was sent again as."""
        found = [each for at, each in self.completions if at == service and each.message_id == letter.replayed_as]
        return found[-1] if found else None

    def entries(self) -> Iterator[Entry]:
        for service, attempt in self.attempts:
            yield _of_attempt(service, attempt)
        for service, letter in self.letters:
            yield from _of_dead(service, letter)
        for service, done in self.completions:
            yield _of_completion(service, done)
        for service, emission in self.emissions:
            yield from _of_emission(service, emission)


def _of_last(attempt: FailedAttempt) -> tuple[State, str]:
    if attempt.retry_seconds is None:
        return "dead", "its last try failed"
    next_at = attempt.failed_at + timedelta(seconds=attempt.retry_seconds)
    return "pending", f"try {attempt.number} failed, and it comes again at {next_at:%H:%M:%S} UTC, or is tried now"


def _of_letter(letter: RelatedDeadLetter, done: Completion | None) -> tuple[State, str]:
    if letter.state == "discarded":
        return "dead", f"dead letter {letter.id}, discarded by an operator"
    if letter.state == "dead":
        return "dead", f"dead letter {letter.id} ({letter.reason})"
    if letter.state == "chosen":
        return "pending", f"dead letter {letter.id}, about to be sent again by action {letter.action_id}"
    sent = f"dead letter {letter.id}, sent again"
    if done is not None:
        return _DONE, f"{sent} as {letter.replayed_as}: {answer_in_words(done.status)}"
    return "pending", f"{sent} as {letter.replayed_as} and not done yet"


def _of_attempt(service: str, attempt: FailedAttempt) -> Entry:
    what = f"Try {attempt.number} of {attempt.operation} failed at the worker on {attempt.worker}"
    is_last = attempt.retry_seconds is None
    after = "It was the last." if is_last else f"The next one comes {attempt.retry_seconds} s later."
    error = f"{attempt.error_class}: {attempt.detail}" if attempt.detail else attempt.error_class
    return Entry(attempt.failed_at, service, f"{what}. {after}", "wrong", error, attempt.traceback)


def _of_dead(service: str, letter: RelatedDeadLetter) -> Iterator[Entry]:
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


def _of_completion(service: str, done: Completion) -> Entry:
    if done.caller == EVENTS:
        return Entry(done.done_at, service, f"The listener {service} handled the event {done.operation}.", "done")
    verb = "refused" if done.status >= 400 else "carried out and committed"
    answer = answer_in_words(done.status)
    unfinal = " It is not final: sent again, it is tried again." if done.status == HTTPStatus.TOO_MANY_REQUESTS else ""
    text = f"{done.operation}, sent by {caller_in_words(done.caller)}, was {verb}; {answer}.{unfinal}"
    return Entry(done.done_at, service, text, "done", done.reply)


def _of_emission(service: str, emission: Emission) -> Iterator[Entry]:
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


def _place_of(moment: datetime) -> datetime:
    """For the order: in the milliseconds that a dead letter has.

    Rows of SQLite have whole seconds: what has no parts of one comes after what is known better.
    """
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000 if moment.microsecond else 999_999)
