"""Confirms: every message gets its own outcome, exactly once; lasting refusals of a queue are noticed."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.messaging.rabbitmq.confirms import REFUSED_SECONDS, Confirms, Refusals
from bus.messaging.transport import PublishOutcome


class Publisher:
    """Sends on one channel and keeps the outcomes of each message."""

    def __init__(self) -> None:
        self.confirms = Confirms()
        self.outcomes: list[list[PublishOutcome]] = []

    def send(self, message_id: str = "", queue: str = "shop.buy") -> None:
        outcomes: list[PublishOutcome] = []
        self.outcomes.append(outcomes)
        self.confirms.sent(message_id, queue, outcomes.append)


def test_an_acknowledged_message_is_confirmed() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.CONFIRMED]]


def test_a_refused_message_met_a_full_queue() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=False)
    assert publisher.outcomes == [[PublishOutcome.FULL]]


def test_one_confirm_may_settle_many_messages_and_leaves_the_later_ones() -> None:
    publisher = Publisher()
    for _ in range(4):
        publisher.send()
    publisher.confirms.answered(2, multiple=False, accepted=False)
    publisher.confirms.answered(3, multiple=True, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.CONFIRMED], [PublishOutcome.FULL], [PublishOutcome.CONFIRMED], []]
    assert len(publisher.confirms) == 1


def test_a_message_returned_and_then_acknowledged_was_unroutable() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    assert publisher.outcomes == [[]]
    publisher.confirms.answered(1, multiple=False, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.UNROUTABLE]]


def test_an_id_that_was_unroutable_once_may_be_routed_later() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.answered(1, multiple=False, accepted=True)
    publisher.send("a")
    publisher.confirms.answered(2, multiple=False, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.UNROUTABLE], [PublishOutcome.CONFIRMED]]


def test_two_unroutable_messages_with_one_id_settled_together_are_both_unroutable() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.answered(2, multiple=True, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.UNROUTABLE], [PublishOutcome.UNROUTABLE]]


def test_messages_with_one_id_to_two_queues_get_their_own_outcomes() -> None:
    publisher = Publisher()
    publisher.send("a", "shop.buy")
    publisher.send("a", "shop.nowhere")
    publisher.confirms.returned("a", "shop.nowhere")
    publisher.confirms.answered(2, multiple=True, accepted=True)
    assert publisher.outcomes == [[PublishOutcome.CONFIRMED], [PublishOutcome.UNROUTABLE]]


def test_unconfirmed_messages_of_a_lost_channel_are_unknown() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=True)
    publisher.confirms.lost()
    publisher.confirms.lost()
    assert publisher.outcomes == [[PublishOutcome.CONFIRMED], [PublishOutcome.UNKNOWN]]


def test_confirms_of_unknown_tags_are_ignored() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(7, multiple=False, accepted=True)
    publisher.confirms.returned("never sent", "shop.buy")
    assert publisher.outcomes == [[]]


def test_a_callback_may_publish_the_next_message() -> None:
    confirms, outcomes = Confirms(), []

    def again(outcome: PublishOutcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) < 3:
            confirms.sent("", "shop.buy", again)

    confirms.sent("", "shop.buy", again)
    confirms.answered(1, multiple=True, accepted=True)
    confirms.answered(2, multiple=True, accepted=False)
    confirms.lost()
    assert outcomes == [PublishOutcome.CONFIRMED, PublishOutcome.FULL, PublishOutcome.UNKNOWN]


NOW = 1000.0
LATER = NOW + REFUSED_SECONDS


def test_a_queue_that_has_refused_everything_for_a_second_is_noticed() -> None:
    refusals = _refusals(("q", PublishOutcome.FULL, NOW), ("q", PublishOutcome.FULL, NOW + 0.5))
    assert not refusals.last_too_long(LATER - 0.01)
    assert refusals.last_too_long(LATER)


def test_one_confirm_ends_the_refusals_of_its_queue_and_of_no_other() -> None:
    refusals = _refusals(
        ("q", PublishOutcome.FULL, NOW), ("r", PublishOutcome.FULL, NOW), ("q", PublishOutcome.CONFIRMED, NOW + 0.5)
    )
    assert refusals.last_too_long(LATER)
    refusals.note("r", PublishOutcome.UNROUTABLE, NOW + 0.6)
    assert not refusals.last_too_long(LATER)


def test_a_channel_without_outcomes_has_no_refusals() -> None:
    assert not Refusals().last_too_long(NOW)


def _refusals(*outcomes: tuple[str, PublishOutcome, float]) -> Refusals:
    refusals = Refusals()
    for outcome in outcomes:
        refusals.note(*outcome)
    return refusals


class AnyBroker(RuleBasedStateMachine):
    """A broker that routes or not, accepts or not, and confirms in any order, one by one or many at once."""

    def __init__(self) -> None:
        super().__init__()
        self.publisher = Publisher()
        self.expected: list[PublishOutcome | None] = []
        self.unroutable: set[int] = set()
        self.open: set[int] = set()

    @rule(message_id=st.sampled_from(["", "a", "b"]), routable=st.booleans())
    def publish(self, message_id: str, routable: bool) -> None:
        queue = "shop.buy" if routable else "shop.nowhere"
        self.publisher.send(message_id, queue)
        self.expected.append(None)
        tag = len(self.expected)
        self.open.add(tag)
        if not routable:
            self.unroutable.add(tag)
            self.publisher.confirms.returned(message_id, queue)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), multiple=st.booleans(), accepted=st.booleans())
    def confirm(self, data: st.DataObject, multiple: bool, accepted: bool) -> None:
        tag = data.draw(st.sampled_from(sorted(self.open)))
        for each in [each for each in self.open if each == tag or (multiple and each < tag)]:
            self._settle(each, PublishOutcome.CONFIRMED if accepted else PublishOutcome.FULL)
        self.publisher.confirms.answered(tag, multiple, accepted)

    @rule()
    def lose_the_channel(self) -> None:
        for tag in list(self.open):
            self.expected[tag - 1] = PublishOutcome.UNKNOWN
        self.open.clear()
        self.publisher.confirms.lost()

    def _settle(self, tag: int, outcome: PublishOutcome) -> None:
        self.open.discard(tag)
        self.expected[tag - 1] = PublishOutcome.UNROUTABLE if tag in self.unroutable else outcome

    @invariant()
    def every_outcome_came_once_and_is_right(self) -> None:
        assert self.publisher.outcomes == [[] if outcome is None else [outcome] for outcome in self.expected]
        assert len(self.publisher.confirms) == len(self.open)


AnyBroker.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
test_with_any_broker_every_message_gets_its_outcome_once = AnyBroker.TestCase
