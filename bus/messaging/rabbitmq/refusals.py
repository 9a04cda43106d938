"""Refusals: which queues have refused everything for a while. Rules only, no I/O."""

from bus.messaging.transport import Outcome

# A queue that is full for a moment needs nothing; one that has been for longer costs a new channel this often.
PATIENCE_SECONDS = 1.0


class Refusals:
    """What one channel has heard of its queues.

    A channel that published to a quorum queue while that had no leader may be refused for ever after, when
    all others are not (seen with RabbitMQ 3.10.8). From outside this looks like a full queue.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def heard(self, queue: str, outcome: Outcome, now: float) -> None:
        """The broker has answered a message to a queue; `now` is in seconds, by a monotonic clock."""
        if outcome is Outcome.FULL:
            self._since.setdefault(queue, now)
        else:
            self._since.pop(queue, None)

    def are_suspicious(self, now: float) -> bool:
        """Whether a queue has taken nothing for so long that another channel should try."""
        return any(now - since >= PATIENCE_SECONDS for since in self._since.values())
