"""The story of one request, told in words: what all services have stored of it, of its events and of their listeners.

Rules only, and the questions to ask; who asks has the operator's token.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from bus.client.request_entries import (
    Entry,
    answer_in_words,
    caller_in_words,
    of_attempt,
    of_completion,
    of_dead,
    of_emission,
    place_of,
)
from bus.contract.operator.requests import (
    MAX_KNOWN,
    Completion,
    Emission,
    FailedAttempt,
    GetRequest,
    KnownOfRequest,
    RelatedDeadLetter,
)
from bus.contract.problems import ProblemError
from bus.messaging.call import EVENTS
from bus.messaging.message import check_message_id
from bus.messaging.trace_context import read

# Questions to each service: one leads to the next, from a trace to its requests, from these to events and replays.
MAX_QUESTIONS = 12

# What is `unknown` was named in an answer, and its own id was not asked for.
State = Literal["done", "pending", "dead", "unknown"]
_DONE: State = "done"
# What may have become of a request that no service knows.
_UNKNOWN = (
    "It waits in its queue, or for the database, a lock or a service that is away; no worker has failed with it.",
    "It was refused before it was carried out, because it was not acceptable, or its caller was not known.",
    "It is a query, or a transient command such as a log-in, and was answered.",
    "It is older than KEEP_DAYS.",
    "It never came. A trace id is known where a try has failed, a message has died, or an event was emitted lately.",
)

Ask = Callable[[str, GetRequest], KnownOfRequest]


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
    """What became of what was asked for.

    `troubles` are the services that did not answer, and why; `limits` say in sentences what was left out. `unknown`
    says in sentences what may have become of a request of which nothing is known; empty where something is.
    """

    which: str
    verdicts: Sequence[Verdict] = ()
    entries: Sequence[Entry] = ()
    traces: Sequence[str] = ()
    troubles: dict[str, str] = field(default_factory=dict)
    limits: Sequence[str] = ()
    unknown: Sequence[str] = ()


def story_of(which: str, services: Sequence[str], ask: Ask) -> Story:
    """Ask the services, and tell what they know. `ask` may raise ProblemError for a service that does not answer.

    A `traceparent` stands for its trace id. Raises Invalid for what cannot be an id.
    """
    check_message_id(which)
    if trace := read(which):
        which = trace.trace_id
    questions, told, troubles = [GetRequest(which=which)], _Told(), dict[str, str]()
    left_out: dict[GetRequest, None] = {}
    for question in questions:  # which grow meanwhile
        for service in services:
            if service in troubles:
                continue
            try:
                known = ask(service, question)
            except ProblemError as problem:
                troubles[service] = problem.problem.detail or problem.problem.title
                continue
            told.add(service, question, known)
            for lead in _leads_of(known):
                if lead in questions:
                    continue
                if len(questions) < MAX_QUESTIONS:
                    questions.append(lead)
                else:
                    left_out[lead] = None
    named = [each.trace_id for _, each in told.attempts] + [each.trace_id for _, each in told.letters]
    traces = dict.fromkeys([*named, *(each.trace_id for _, each in told.emissions)])
    entries = sorted(told.entries(), key=lambda each: place_of(each.at))
    limits = list(told.limits)
    if left_out:
        limits.append(f"{len(left_out)} more questions follow from it, and {MAX_QUESTIONS} were asked.")
    others = [each for each in traces if each and each != which]
    verdicts = list(told.verdicts())
    unknown = () if verdicts else _unknown(len(services), list(troubles))
    return Story(which, verdicts, entries, others, troubles, limits, unknown)


def _unknown(asked: int, silent: Sequence[str]) -> Sequence[str]:
    if len(silent) == asked:
        return ("Nothing is known of it, because no service answered.",)
    if silent:
        first = "No service that answered knows it. Then it is one of these:"
        return first, f"It is known to {' or '.join(silent)}.", *_UNKNOWN
    return "No service knows it. Then it is one of these:", *_UNKNOWN


def _leads_of(known: KnownOfRequest) -> Iterator[GetRequest]:
    """What to ask all services next."""
    for letter in known.letters:
        for message_id in (letter.message_id, letter.replayed_as):
            if message_id:
                yield GetRequest(which=message_id)
    # An event that was handled is done: its id would lead to nothing more.
    handled = {each.message_id for each in known.completions if each.caller == EVENTS}
    parts: list[Part] = [*known.completions, *known.attempts]
    for message_id, *_ in map(_key, parts):
        if message_id and message_id not in handled:
            yield GetRequest(which=message_id)
    # Whether or not its service has its events still: a listener may.
    for completion in known.completions:
        yield GetRequest(which=completion.origin, by="origin")


Part = Completion | FailedAttempt | RelatedDeadLetter


Key = tuple[str, str, str]


def _key(part: Part) -> Key:
    """What is the same in all parts of one request."""
    return part.message_id or "", part.caller, part.operation


@dataclass(frozen=True)
class _Parts:
    """What one service knows of one request, or one event."""

    completions: list[Completion] = field(default_factory=list)
    letters: list[RelatedDeadLetter] = field(default_factory=list)
    attempts: list[FailedAttempt] = field(default_factory=list)


class _Told:
    """What the services have answered, each thing once."""

    def __init__(self) -> None:
        self.completions: dict[tuple[str, Completion], None] = {}
        self.attempts: dict[tuple[str, FailedAttempt], None] = {}
        self.letters: dict[tuple[str, RelatedDeadLetter], None] = {}
        self.emissions: dict[tuple[str, Emission], None] = {}

        self.limits: dict[str, None] = {}
        self._looked_up: set[tuple[str, str]] = set()

    def add(self, service: str, question: GetRequest, known: KnownOfRequest) -> None:
        self.completions |= {(service, each): None for each in known.completions}
        self.attempts |= {(service, each): None for each in known.attempts}
        self.letters |= {(service, each): None for each in known.letters}
        self.emissions |= {(service, each): None for each in known.emissions}
        if question.by == "id":
            self._looked_up.add((service, question.which))
        for kind in known.__struct_fields__:
            if len(getattr(known, kind)) >= MAX_KNOWN:
                self.limits[f"{service} tells only the newest {MAX_KNOWN} {kind} of {question.which}."] = None

    def verdicts(self) -> Iterator[Verdict]:
        """What became of each request, and of each event."""
        found: dict[tuple[str, Key], _Parts] = defaultdict(_Parts)
        for service, done in self.completions:
            found[service, _key(done)].completions.append(done)
        for service, attempt in self.attempts:
            found[service, _key(attempt)].attempts.append(attempt)
        for service, letter in self.letters:
            found[service, _key(letter)].letters.append(letter)
        done_by_id = {(service, done.message_id): done for service, done in self.completions}
        for (service, (message_id, caller, operation)), parts in found.items():
            is_event = caller == EVENTS
            if parts.completions:
                state, text = _DONE, "handled" if is_event else answer_in_words(parts.completions[-1].status)
            elif not self._is_known(service, message_id, parts):
                state, text = "unknown", "not looked up with the others, ask for its own id"
            elif parts.letters:
                letter = parts.letters[-1]
                state, text = _of_letter(letter, done_by_id.get((service, letter.replayed_as or "")))
            else:
                state, text = _of_last(parts.attempts[-1])
            who = "" if is_event else f" of {caller_in_words(caller)}"
            yield Verdict(service, message_id, state, f"{operation}{who}: {text}", is_event)

    def _is_known(self, service: str, message_id: str, parts: _Parts) -> bool:
        """Whether the service was asked for all ids under which the request may have been done since."""
        ids = {message_id, *(each.replayed_as or "" for each in parts.letters)} - {""}
        return all((service, each) in self._looked_up for each in ids)

    def entries(self) -> Iterator[Entry]:
        for service, attempt in self.attempts:
            yield of_attempt(service, attempt)
        for service, letter in self.letters:
            yield from of_dead(service, letter)
        for service, done in self.completions:
            yield of_completion(service, done)
        for service, emission in self.emissions:
            yield from of_emission(service, emission)


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
