"""The story of one request: from a question to the ones that follow, and from what is stored to sentences."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bus.client.request_story import MAX_QUESTIONS, Story, story_of
from bus.contract.operator.requests import (
    Completion,
    Emission,
    FailedAttempt,
    GetRequest,
    KnownOfRequest,
    RelatedDeadLetter,
)
from bus.contract.problems import Unavailable
from bus.messaging.call import EVENTS

NOON = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
TRACE, ORIGIN, EVENT_ID = "a" * 32, "b" * 16, "b" * 16 + "c" * 16


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _attempt(number: int, seconds: float, **more: Any) -> FailedAttempt:
    values: dict[str, Any] = {
        "message_id": "order-1",
        "caller": "17",
        "operation": "shop.order",
        "number": number,
        "failed_at": _at(seconds),
        "worker": "web-1 (process 7)",
        "error_class": "KeyError",
        "detail": "'lamp'",
        "traceback": "Traceback",
        "trace_id": TRACE,
        "retry_seconds": 5,
    }
    return FailedAttempt(**{**values, **more})


def _done(seconds: float, **more: Any) -> Completion:
    values: dict[str, Any] = {
        "message_id": "order-1",
        "caller": "17",
        "operation": "shop.order",
        "status": 201,
        "done_at": _at(seconds),
        "reply": "{}",
        "origin": ORIGIN,
    }
    return Completion(**{**values, **more})


def _letter(**more: Any) -> RelatedDeadLetter:
    values: dict[str, Any] = {
        "id": 3,
        "message_id": "order-1",
        "caller": "17",
        "operation": "shop.order",
        "is_event": False,
        "reason": "fault",
        "detail": "'lamp'",
        "error_class": "KeyError",
        "attempts": 4,
        "first_at": _at(0),
        "last_at": _at(9),
        "state": "dead",
        "action_id": None,
        "taken_at": None,
        "taken_by": "",
        "taken_for": "",
        "replayed_as": None,
        "trace_id": TRACE,
    }
    return RelatedDeadLetter(**{**values, **more})


def _known(**more: Any) -> KnownOfRequest:
    return KnownOfRequest(**{"completions": [], "attempts": [], "letters": [], "emissions": [], **more})


Answers = Mapping[tuple[str, str], KnownOfRequest]


def _story(answers: Answers, which: str = "order-1") -> tuple[Story, list[tuple[str, str]]]:
    """The story that these answers make, by service and question, and what was asked."""
    asked: list[tuple[str, str]] = []

    def ask(service: str, question: GetRequest) -> KnownOfRequest:
        asked.append((service, question.which))
        return answers.get((service, question.which), _known())

    return story_of(which, ["shop", "feed"], ask), asked


def test_a_request_is_told_from_its_first_failure_to_its_last_listener() -> None:
    emission = Emission(
        message_id=EVENT_ID, name="shop.ordered", made_at=_at(12), sent_at=_at(13), refused_at=None, trace_id=TRACE
    )
    own = _known(completions=[_done(12)], attempts=[_attempt(1, 0), _attempt(2, 6)], emissions=[emission])
    taken = _done(14, message_id=EVENT_ID, caller=EVENTS, operation="shop.ordered", status=204, origin="d" * 16)
    missed = _attempt(1, 13.5, message_id=EVENT_ID, caller=EVENTS, operation="shop.ordered")
    story, asked = _story({("shop", "order-1"): own, ("feed", ORIGIN): _known(completions=[taken], attempts=[missed])})
    assert [(each.service, each.state, each.text) for each in story.verdicts] == [
        ("shop", "done", "shop.order of account 17: the answer is 201 Created"),
        ("feed", "done", "shop.ordered: handled"),
    ]
    assert [each.text for each in story.entries] == [
        "Try 1 of shop.order failed at the worker on web-1 (process 7). The next one comes 5 s later.",
        "Try 2 of shop.order failed at the worker on web-1 (process 7). The next one comes 5 s later.",
        "shop.order, sent by account 17, was carried out and committed; the answer is 201 Created.",
        f"The event shop.ordered ({EVENT_ID}) was committed with it.",
        f"The event shop.ordered ({EVENT_ID}) was sent to the broker.",
        "Try 1 of shop.ordered failed at the worker on web-1 (process 7). The next one comes 5 s later.",
        "The listener feed handled the event shop.ordered.",
    ]
    assert story.traces == [TRACE]
    assert asked == [(name, which) for which in ("order-1", ORIGIN, "d" * 16) for name in ("shop", "feed")]


def test_each_state_of_a_request_is_named() -> None:
    def verdict(**parts: Any) -> tuple[str, str]:
        (found,) = _story({("shop", "order-1"): _known(**parts)})[0].verdicts[:1]
        return found.state, found.text.partition(": ")[2]

    assert verdict(attempts=[_attempt(1, 0)]) == (
        "pending",
        "try 1 failed, and it comes again at 12:00:05 UTC, or is tried now",
    )
    assert verdict(attempts=[_attempt(1, 0, retry_seconds=None)]) == ("dead", "its last try failed")
    assert verdict(letters=[_letter()]) == ("dead", "dead letter 3 (fault)")
    assert verdict(letters=[_letter(state="discarded")]) == ("dead", "dead letter 3, discarded by an operator")
    chosen = _letter(state="chosen", action_id=2)
    assert verdict(letters=[chosen]) == ("pending", "dead letter 3, about to be sent again by action 2")
    sent = _letter(
        state="replayed", action_id=2, taken_at=_at(20), taken_by="ann", taken_for="why", replayed_as="other"
    )
    assert verdict(letters=[sent]) == ("pending", "dead letter 3, sent again as other and not done yet")
    again = {
        ("shop", "order-1"): _known(letters=[sent]),
        ("shop", "other"): _known(completions=[_done(21, message_id="other")]),
    }
    story, _ = _story(again)
    assert {each.state for each in story.verdicts} == {"done"}
    assert "Action 2 of ann had it sent again, as other (why)." in [each.text for each in story.entries]
    too_many = verdict(completions=[_done(0, status=429)])
    assert too_many == ("done", "the answer is 429 Too Many Requests")


def test_callers_that_share_an_id_are_told_apart() -> None:
    both = _known(completions=[_done(0), _done(1, caller="anonymous", status=409), _done(2, caller="service:pay")])
    story, _ = _story({("shop", "order-1"): both})
    assert [each.text for each in story.verdicts] == [
        "shop.order of account 17: the answer is 201 Created",
        "shop.order of a caller without an account: the answer is 409 Conflict",
        "shop.order of the service pay: the answer is 201 Created",
    ]


def test_a_service_that_does_not_answer_is_named_and_not_asked_again() -> None:
    asked: list[str] = []

    def ask(service: str, question: GetRequest) -> KnownOfRequest:
        asked.append(service)
        if service == "feed":
            raise Unavailable("no-worker", "No worker of feed answers.")
        return _known(completions=[_done(0)] if question.which == "order-1" else [])

    story = story_of("order-1", ["feed", "shop"], ask)
    assert story.troubles == {"feed": "No worker of feed answers."}
    assert story.unknown == ()
    assert asked == ["feed", "shop", "shop"]
    assert [each.state for each in story.verdicts] == ["done"]
    nothing = story_of("order-2", ["feed", "shop"], ask).unknown
    assert nothing[:2] == ("No service that answered knows it. Then it is one of these:", "It is known to feed.")
    assert story_of("order-2", ["feed"], ask).unknown == ("Nothing is known of it, because no service answered.",)


def test_a_trace_of_many_requests_asks_a_bounded_number_of_questions() -> None:
    many = _known(attempts=[_attempt(1, 0, message_id=f"order-{number}") for number in range(100)])
    story, asked = _story({("shop", TRACE): many}, TRACE)
    assert len(asked) == 2 * MAX_QUESTIONS
    by_state = Counter(each.state for each in story.verdicts)
    # The trace itself is one of the questions, and nothing is known of the ids that were not asked for.
    assert by_state == {"pending": MAX_QUESTIONS - 1, "unknown": 101 - MAX_QUESTIONS}
    assert story.verdicts[-1].text.endswith("not looked up with the others, ask for its own id")
    assert story.limits == [
        f"shop tells only the newest 100 attempts of {TRACE}.",
        f"{101 - MAX_QUESTIONS} more questions follow from it, and {MAX_QUESTIONS} were asked.",
    ]
    assert story.traces == []


def test_what_was_done_since_is_not_pending_though_its_trace_names_tries_alone() -> None:
    many = [_attempt(1, 0, message_id=f"order-{number}") for number in range(50)]
    answers = {("shop", TRACE): _known(attempts=many)}
    for attempt in many:
        done = _done(6, message_id=attempt.message_id)
        answers["shop", str(attempt.message_id)] = _known(attempts=[attempt], completions=[done])
    story, _ = _story(answers, TRACE)
    assert Counter(each.state for each in story.verdicts) == {"done": MAX_QUESTIONS - 1, "unknown": 51 - MAX_QUESTIONS}


def test_a_listener_that_has_handled_an_event_since_is_done() -> None:
    missed = _attempt(1, 0, message_id=EVENT_ID, caller=EVENTS, operation="shop.ordered")
    taken = _done(6, message_id=EVENT_ID, caller=EVENTS, operation="shop.ordered", status=204)
    answers = {("feed", TRACE): _known(attempts=[missed]), ("feed", EVENT_ID): _known(completions=[taken])}
    assert [each.state for each in _story(answers, TRACE)[0].verdicts] == ["done"]


def test_a_letter_is_not_pending_while_what_it_was_sent_again_as_was_not_looked_up() -> None:
    sent = [_letter(id=n, message_id=f"order-{n}", state="replayed", replayed_as=f"again-{n}") for n in range(50)]
    story, _ = _story({("shop", TRACE): _known(letters=sent)}, TRACE)
    assert Counter(each.state for each in story.verdicts) == {"pending": 5, "unknown": 45}


def test_a_service_that_stops_answering_is_not_said_to_have_nothing_done() -> None:
    def ask(_service: str, question: GetRequest) -> KnownOfRequest:
        if question.which == TRACE:
            return _known(attempts=[_attempt(1, 0)])
        raise Unavailable("no-worker", "No worker of shop answers.")

    assert [each.state for each in story_of(TRACE, ["shop"], ask).verdicts] == ["unknown"]


def test_what_has_only_whole_seconds_comes_after_what_is_known_better() -> None:
    done_at = NOON.replace(microsecond=0)
    story, _ = _story({("shop", "order-1"): _known(completions=[_done(0, done_at=done_at)], attempts=[_attempt(1, 0)])})
    assert [each.level for each in story.entries] == ["wrong", "done"]
