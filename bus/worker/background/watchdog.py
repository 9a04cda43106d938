"""The watchdog: notices a worker that is connected and gets no messages, though some wait in its queues."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from bus.messaging.transport import QueueView, Transport
from bus.worker.background.periodic import PeriodicTask

# Between two looks, each one question to the broker for every queue: 20 of them take some milliseconds.
LOOK_SECONDS = 10.0
# How long the broker has for its answers; without them nothing is known.
ANSWER_SECONDS = 5.0
# One look alone may come between the arrival of a message in its queue and its delivery.
LOOKS = 2
# What this many new connections did not mend, perhaps a new process does.
TRIES = 3

log = structlog.get_logger("bus.worker")


class NotConsuming(Exception):
    """The broker delivers nothing to this worker although messages wait, and new connections did not help.

    The cause is not known here; a restart of the process may help.
    """


class Watchdog(PeriodicTask):
    """Looks at the queues that one worker consumes. `failure` is set when new connections did not help.

    `why_silent` names the queues that deliver nothing now, in a sentence; empty while all is well. `queued` is how many
    messages each queue held at the last look, as far as this worker and the broker count them; `unacknowledged` are
    those that this worker had taken.
    """

    def __init__(self, service: str, transport: Transport, on_restart: Callable[[], None] = lambda: None) -> None:
        super().__init__(f"{service}-watchdog")
        self._transport, self._on_restart = transport, on_restart
        self._suspicions = Suspicions()
        self._tries = self._good = 0
        self.why_silent = ""
        self.queued: Mapping[str, int] = {}
        self.unacknowledged: Mapping[str, int] = {}

    def pause(self) -> float:
        """The same between all looks."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Look once."""
        views = self._transport.view(ANSWER_SECONDS)
        self.queued = {view.queue: view.ready + view.unacknowledged for view in views} or self.queued
        self.unacknowledged = {view.queue: view.unacknowledged for view in views if view.unacknowledged}
        if not self.stopping.is_set():
            self._judge(views)

    def _judge(self, views: Sequence[QueueView]) -> None:
        silent = self._suspicions.after(views)
        if not silent:
            self._note_good(bool(views) and not self._suspicions.any)
            return
        self._tries, self._good = self._tries + 1, 0
        self.why_silent = f"Nothing is delivered from {', '.join(each.queue for each in silent)}, though it should be."
        for each in silent:
            log.error(
                "not_consuming",
                operation=each.queue,
                ready=each.ready,
                consumers=each.consumers,
                unacknowledged=each.unacknowledged,
                attempt=self._tries,
            )
        if self._tries > TRIES:
            self.failure = NotConsuming(f"{self.why_silent} {TRIES} new connections did not help.")
            return
        self._on_restart()
        self._transport.reconnect_consumer("nothing is delivered")

    def _note_good(self, is_good: bool) -> None:
        """Over a new connection the first look has nothing to compare with, so it ends no alarm alone."""
        self._good = self._good + 1 if is_good else 0
        if self._good >= LOOKS:
            self._tries, self.why_silent = 0, ""


class Suspicions:
    """What successive looks say together. Rules only, no I/O."""

    def __init__(self) -> None:
        self._before: Mapping[str, QueueView] = {}
        self._counts: dict[str, int] = {}

    @property
    def any(self) -> bool:
        """Whether the last look found a queue that is not consumed as it should be."""
        return bool(self._counts)

    def after(self, views: Sequence[QueueView]) -> list[QueueView]:
        """The queues that were not consumed as they should be in `LOOKS` successive looks, which is no coincidence.

        Without views nothing is known, and no suspicion ends.
        """
        if not views:
            return []
        self._counts = {
            view.queue: self._counts.get(view.queue, 0) + 1
            for view in views
            if is_silent(view, self._before.get(view.queue))
        }
        self._before = {view.queue: view for view in views}
        silent = [view for view in views if self._counts.get(view.queue, 0) >= LOOKS]
        if silent:
            self._counts, self._before = {}, {}  # a new connection begins with a clean slate
        return silent


def is_silent(view: QueueView, before: QueueView | None) -> bool:
    """Whether a queue is not consumed by us, or gives us nothing although it has something and we have room."""
    if view.consumers == 0:
        return True
    if before is None or view.session != before.session or view.delivered != before.delivered:
        return False
    # Of several consumers one alone is given events; we know that it is us only if it was us before.
    may_be_others = view.single_active_consumer and view.delivered == 0
    return view.ready > 0 and view.unacknowledged < view.prefetch and not may_be_others
