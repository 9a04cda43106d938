"""Publisher confirms: which outcome belongs to which message. Rules only, no I/O."""

from collections.abc import Callable
from itertools import takewhile

from bus.messaging.transport import PublishOutcome

OnOutcome = Callable[[PublishOutcome], None]


class Confirms:
    """The messages of one channel that the broker has not confirmed or refused yet, by their delivery tags.

    A broker returns an unroutable message before it confirms it. So a return only marks the message, and the confirm
    settles it.
    """

    def __init__(self) -> None:
        self._last_tag = 0
        self._waiting: dict[int, tuple[tuple[str, str], OnOutcome]] = {}
        self._returned: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def sent(self, message_id: str, queue: str, on_outcome: OnOutcome) -> None:
        """The next message of the channel was sent."""
        self._last_tag += 1
        self._waiting[self._last_tag] = ((message_id, queue), on_outcome)

    def returned(self, message_id: str, queue: str) -> None:
        """The broker found no queue for a message. It returns in order, so it is the oldest with this id and queue."""
        for tag, (name, _) in self._waiting.items():
            if name == (message_id, queue) and tag not in self._returned:
                self._returned.add(tag)
                return

    def answered(self, tag: int, multiple: bool, accepted: bool) -> None:
        """The broker accepted or refused one message, or (`multiple`) all up to this tag."""
        tags = list(takewhile(lambda waiting: waiting <= tag, self._waiting)) if multiple else [tag]
        for each in tags:
            self._settle(each, accepted)

    def lost(self) -> None:
        """The channel is lost: the outcome of the rest is unknown."""
        waiting, self._waiting = self._waiting, {}
        for _, on_outcome in waiting.values():
            on_outcome(PublishOutcome.UNKNOWN)

    def _settle(self, tag: int, accepted: bool) -> None:
        found = self._waiting.pop(tag, None)
        if found is None:
            return
        _, on_outcome = found
        if tag in self._returned:
            self._returned.discard(tag)
            on_outcome(PublishOutcome.UNROUTABLE)
        else:
            on_outcome(PublishOutcome.CONFIRMED if accepted else PublishOutcome.FULL)


# A queue may be full for a moment. If it refuses everything for this long, the channel is replaced.
REFUSED_SECONDS = 1.0


class Refusals:
    """Since when each queue has refused all messages of one channel.

    A channel that published to a quorum queue without a leader may be refused for ever after, while other channels
    are not (seen with RabbitMQ 3.10.8). To the publisher this looks like a full queue.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, queue: str, outcome: PublishOutcome, now: float) -> None:
        """A message to a queue has this outcome; `now` is time.monotonic()."""
        if outcome is PublishOutcome.FULL:
            self._since.setdefault(queue, now)
        else:
            self._since.pop(queue, None)

    def last_too_long(self, now: float) -> bool:
        """Whether a queue has accepted nothing for so long that another channel should try."""
        return any(now - since >= REFUSED_SECONDS for since in self._since.values())
