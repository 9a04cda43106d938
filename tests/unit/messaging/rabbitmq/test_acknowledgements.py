"""Acknowledgements: exactly the finished messages are acknowledged, in few frames."""

from hypothesis import given
from hypothesis import strategies as st

from bus.messaging.rabbitmq.acknowledgements import Unacknowledged


def _covered(frames: list[tuple[int, bool]], unfinished: list[int]) -> list[int]:
    """The tags that these frames acknowledge (AMQP 0-9-1, basic.ack)."""
    return [tag for tag in unfinished if any(tag == ack or (multiple and tag < ack) for ack, multiple in frames)]


def test_a_batch_is_acknowledged_with_one_frame() -> None:
    unacknowledged = Unacknowledged()
    for tag in (1, 2, 3, 4):
        unacknowledged.delivered(tag)
    assert list(unacknowledged.done([2, 1, 3])) == [(3, True)]


def test_an_older_unfinished_message_is_not_acknowledged() -> None:
    unacknowledged = Unacknowledged()
    for tag in (1, 2, 3):
        unacknowledged.delivered(tag)
    assert list(unacknowledged.done([2, 3])) == [(2, False), (3, False)]
    assert list(unacknowledged.done([1])) == [(1, True)]


def test_a_message_is_acknowledged_once_and_an_unknown_tag_never() -> None:
    unacknowledged = Unacknowledged()
    unacknowledged.delivered(1)
    assert list(unacknowledged.done([1])) == [(1, True)]
    assert list(unacknowledged.done([1, 7])) == []
    assert list(unacknowledged.done([])) == []


@given(st.lists(st.integers(1, 8) | st.lists(st.integers(1, 40), unique=True), max_size=30))
def test_the_frames_cover_exactly_the_finished_messages(steps: list[int | list[int]]) -> None:
    """An int is a number of further deliveries, a list the tags that a batch has finished."""
    unacknowledged, last, unfinished = Unacknowledged(), 0, list[int]()
    for step in steps:
        if isinstance(step, int):
            for last in range(last + 1, last + step + 1):  # noqa: B020  # goes on where it stopped
                unacknowledged.delivered(last)
                unfinished.append(last)
            continue
        done = [tag for tag in unfinished if tag in step]
        frames = list(unacknowledged.done(step))
        assert _covered(frames, unfinished) == done
        assert all(tag in unfinished for tag, _ in frames)
        unfinished = [tag for tag in unfinished if tag not in done]
