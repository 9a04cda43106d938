"""Acknowledgements: exactly what is done is acknowledged, in few frames."""

from hypothesis import given
from hypothesis import strategies as st

from bus.messaging.rabbitmq.acknowledgements import Unacknowledged


def _covered(frames: list[tuple[int, bool]], in_hand: list[int]) -> list[int]:
    """What a broker takes as acknowledged (AMQP 0-9-1, basic.ack)."""
    return [tag for tag in in_hand if any(tag == ack or (multiple and tag < ack) for ack, multiple in frames)]


def test_a_batch_is_acknowledged_with_one_frame() -> None:
    unacknowledged = Unacknowledged()
    for tag in (1, 2, 3, 4):
        unacknowledged.delivered(tag)
    assert list(unacknowledged.done([2, 1, 3])) == [(3, True)]


def test_what_is_older_and_unfinished_is_left_out() -> None:
    unacknowledged = Unacknowledged()
    for tag in (1, 2, 3):
        unacknowledged.delivered(tag)
    assert list(unacknowledged.done([2, 3])) == [(2, False), (3, False)]
    assert list(unacknowledged.done([1])) == [(1, True)]


def test_nothing_is_acknowledged_twice_nor_what_never_came() -> None:
    unacknowledged = Unacknowledged()
    unacknowledged.delivered(1)
    assert list(unacknowledged.done([1])) == [(1, True)]
    assert list(unacknowledged.done([1, 7])) == []
    assert list(unacknowledged.done([])) == []


@given(st.lists(st.integers(1, 8) | st.lists(st.integers(1, 40), unique=True), max_size=30))
def test_the_frames_cover_exactly_what_is_done_and_never_an_unfinished_one(steps: list[int | list[int]]) -> None:
    """An int is so many deliveries more, a list the tags that a batch says are done."""
    unacknowledged, last, in_hand = Unacknowledged(), 0, list[int]()
    for step in steps:
        if isinstance(step, int):
            for last in range(last + 1, last + step + 1):  # noqa: B020  # goes on where it stopped
                unacknowledged.delivered(last)
                in_hand.append(last)
            continue
        done = [tag for tag in in_hand if tag in step]
        frames = list(unacknowledged.done(step))
        assert _covered(frames, in_hand) == done
        assert all(tag in in_hand for tag, _ in frames)
        in_hand = [tag for tag in in_hand if tag not in done]
