"""Acknowledgements: which frames acknowledge a batch, as few as possible. Rules only, no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator


class Unacknowledged:
    """The delivery tags of one channel that are not acknowledged, in the order of delivery."""

    def __init__(self) -> None:
        self._tags: dict[int, str] = {}

    def delivered(self, tag: int, queue: str = "") -> None:
        """A message was delivered."""
        self._tags[tag] = queue

    def by_queue(self) -> Counter[str]:
        """How many messages of each queue are unacknowledged."""
        return Counter(self._tags.values())

    def done(self, tags: Iterable[int]) -> Iterator[tuple[int, bool]]:
        """Forget these tags, and yield the frames to send, as (tag, multiple).

        It is one frame for all of them if nothing older is unacknowledged, else one for each.
        """
        finished = sorted(tag for tag in tags if tag in self._tags)
        for tag in finished:
            del self._tags[tag]
        if not finished:
            return
        oldest_left = next(iter(self._tags), None)
        if oldest_left is None or oldest_left > finished[-1]:
            yield finished[-1], True
        else:
            yield from ((tag, False) for tag in finished)
