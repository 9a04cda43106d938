"""Confirms: every message gets its own outcome, exactly once."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.messaging.rabbitmq.confirms import Confirms
from bus.messaging.transport import PublishOutcome


class Publisher:
    """Sends on one channel and notes what it is told."""

    def __init__(self) -> None:
        self.confirms = Confirms()
        self.told: list[list[PublishOutcome]] = []

    def send(self, message_id: str = "", queue: str = "shop.buy") -> None:
        outcomes: list[PublishOutcome] = []
        self.told.append(outcomes)
        self.confirms.sent(message_id, queue, outcomes.append)


def test_an_acknowledged_message_is_confirmed() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=True)
    assert publisher.told == [[PublishOutcome.CONFIRMED]]


def test_a_refused_message_met_a_full_queue() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=False)
    assert publisher.told == [[PublishOutcome.FULL]]


def test_one_answer_may_settle_many_and_leaves_the_later_ones() -> None:
    publisher = Publisher()
    for _ in range(4):
        publisher.send()
    publisher.confirms.answered(2, multiple=False, accepted=False)
    publisher.confirms.answered(3, multiple=True, accepted=True)
    assert publisher.told == [[PublishOutcome.CONFIRMED], [PublishOutcome.FULL], [PublishOutcome.CONFIRMED], []]
    assert len(publisher.confirms) == 1


def test_a_message_returned_and_then_acknowledged_was_unroutable() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    assert publisher.told == [[]]
    publisher.confirms.answered(1, multiple=False, accepted=True)
    assert publisher.told == [[PublishOutcome.UNROUTABLE]]


def test_an_id_that_was_unroutable_once_may_be_routed_later() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.answered(1, multiple=False, accepted=True)
    publisher.send("a")
    publisher.confirms.answered(2, multiple=False, accepted=True)
    assert publisher.told == [[PublishOutcome.UNROUTABLE], [PublishOutcome.CONFIRMED]]


def test_two_unroutable_messages_with_one_id_settled_together_are_both_unroutable() -> None:
    publisher = Publisher()
    publisher.send("a")
    publisher.send("a")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.returned("a", "shop.buy")
    publisher.confirms.answered(2, multiple=True, accepted=True)
    assert publisher.told == [[PublishOutcome.UNROUTABLE], [PublishOutcome.UNROUTABLE]]


def test_messages_with_one_id_to_two_queues_are_told_apart() -> None:
    publisher = Publisher()
    publisher.send("a", "shop.buy")
    publisher.send("a", "shop.nowhere")
    publisher.confirms.returned("a", "shop.nowhere")
    publisher.confirms.answered(2, multiple=True, accepted=True)
    assert publisher.told == [[PublishOutcome.CONFIRMED], [PublishOutcome.UNROUTABLE]]


def test_of_what_was_sent_before_the_channel_was_lost_nothing_is_known() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.send()
    publisher.confirms.answered(1, multiple=False, accepted=True)
    publisher.confirms.lost()
    publisher.confirms.lost()
    assert publisher.told == [[PublishOutcome.CONFIRMED], [PublishOutcome.UNKNOWN]]


def test_answers_for_strange_tags_are_ignored() -> None:
    publisher = Publisher()
    publisher.send()
    publisher.confirms.answered(7, multiple=False, accepted=True)
    publisher.confirms.returned("never sent", "shop.buy")
    assert publisher.told == [[]]


def test_an_outcome_may_lead_to_the_next_message_at_once() -> None:
    confirms, told = Confirms(), []

    def again(outcome: PublishOutcome) -> None:
        told.append(outcome)
        if len(told) < 3:
            confirms.sent("", "shop.buy", again)

    confirms.sent("", "shop.buy", again)
    confirms.answered(1, multiple=True, accepted=True)
    confirms.answered(2, multiple=True, accepted=False)
    confirms.lost()
    assert told == [PublishOutcome.CONFIRMED, PublishOutcome.FULL, PublishOutcome.UNKNOWN]


class AnyBroker(RuleBasedStateMachine):
    """A broker that routes or not, accepts or not, and answers in any order, one by one or many at once."""

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
    def answer(self, data: st.DataObject, multiple: bool, accepted: bool) -> None:
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
    def everyone_was_told_once_and_rightly(self) -> None:
        assert self.publisher.told == [[] if outcome is None else [outcome] for outcome in self.expected]
        assert len(self.publisher.confirms) == len(self.open)


AnyBroker.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
test_with_any_broker_every_message_gets_its_outcome_once = AnyBroker.TestCase
