"""Refusals: a channel is suspicious when a queue has refused everything for a second."""

from bus.messaging.rabbitmq.confirms import PATIENCE_SECONDS, Refusals
from bus.messaging.transport import PublishOutcome

NOW = 1000.0
LATER = NOW + PATIENCE_SECONDS


def test_what_was_refused_for_a_second_is_suspicious() -> None:
    refusals = _heard(("q", PublishOutcome.FULL, NOW), ("q", PublishOutcome.FULL, NOW + 0.5))
    assert not refusals.are_suspicious(LATER - 0.01)
    assert refusals.are_suspicious(LATER)


def test_one_confirm_ends_the_suspicion_of_its_queue_and_of_no_other() -> None:
    refusals = _heard(
        ("q", PublishOutcome.FULL, NOW), ("r", PublishOutcome.FULL, NOW), ("q", PublishOutcome.CONFIRMED, NOW + 0.5)
    )
    assert refusals.are_suspicious(LATER)
    refusals.heard("r", PublishOutcome.UNROUTABLE, NOW + 0.6)
    assert not refusals.are_suspicious(LATER)


def test_a_channel_that_has_heard_nothing_is_not_suspicious() -> None:
    assert not Refusals().are_suspicious(NOW)


def _heard(*answers: tuple[str, PublishOutcome, float]) -> Refusals:
    refusals = Refusals()
    for answer in answers:
        refusals.heard(*answer)
    return refusals
