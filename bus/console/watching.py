"""Watching: the state of all services and their queues, looked at every second, and the rates of the last minutes."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from bus.client.client import Client
from bus.console.asking import ask_all
from bus.contract.operator.state import GetState, QueueInState, ServiceState
from bus.contract.problems import ProblemError
from bus.messaging.queue_counting import QueueCounting
from bus.messaging.topology import CONSUMED_KINDS
from bus.messaging.transport import QueueCounts, TransportFailure
from bus.security.operators import Operator

LOOK_SECONDS = 1.0
# A service that does not answer within this time is shown as one that does not.
ANSWER_SECONDS = 2.0
# One point of the charts, and how many there are: 15 minutes.
POINT_SECONDS, POINTS = 10.0, 90

log = structlog.get_logger("bus.console")


@dataclass(frozen=True)
class QueueNow:
    """A queue. `waiting_seconds` is for how long it has not been empty, as far as this console has seen.

    `consumers` and `ready` are the broker's counts, `unacknowledged` those of the workers. `exists` is whether the
    broker has it.
    """

    name: str
    kind: str
    bound: int
    exists: bool
    ready: int
    unacknowledged: int
    consumers: int
    waiting_seconds: float

    @property
    def is_consumed(self) -> bool:
        """Whether workers should consume it."""
        return self.kind in CONSUMED_KINDS


@dataclass(frozen=True)
class ServiceNow:
    """A service. `state` is None while no worker answers, and `trouble` says why.

    `arrived` and `done` are messages a second, a number for each point of the last 15 minutes.
    """

    name: str
    state: ServiceState | None
    trouble: str
    queues: Sequence[QueueNow]
    arrived: Sequence[float] = ()
    done: Sequence[float] = ()

    @property
    def quiet_queues(self) -> list[QueueNow]:
        """Those of which there is nothing to say."""
        return [queue for queue in self.queues if self._is_quiet(queue)]

    @property
    def busy_queues(self) -> list[QueueNow]:
        """All others."""
        return [queue for queue in self.queues if not self._is_quiet(queue)]

    def _is_quiet(self, queue: QueueNow) -> bool:
        # That a queue has no consumer goes without saying while no worker answers.
        has_consumers = bool(queue.consumers) or not queue.is_consumed or self.state is None
        return queue.exists and has_consumers and not (queue.ready or queue.unacknowledged)


@dataclass(frozen=True)
class Overview:
    """All that the console knows at one moment, in seconds since 1970. `broker_trouble` is empty while it works."""

    at: float
    broker: str
    broker_trouble: str
    services: Sequence[ServiceNow] = ()


@dataclass
class _History:
    """What is remembered of one service from look to look."""

    queues: Sequence[QueueInState] = ()
    handled: dict[str, int] = field(default_factory=dict)
    not_empty_since: dict[str, float] = field(default_factory=dict)
    done_now: int = 0
    ready_before: int | None = None
    arrived: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS))
    done: deque[float] = field(default_factory=lambda: deque(maxlen=POINTS))


class Watcher:
    """Looks at the services with these names in a thread. `overview` is what it saw last.

    `known` has the queues of services that are installed here, by name, for those whose workers never answered.
    """

    def __init__(
        self, client: Client, url: str, operator: Operator, known: Mapping[str, Sequence[QueueInState]]
    ) -> None:
        self._client, self._operator, self._counting = client, operator, QueueCounting(url)
        self._histories = {name: _History(queues) for name, queues in known.items()}
        self._stopping, self._point_at = threading.Event(), time.monotonic() + POINT_SECONDS
        self._thread = threading.Thread(target=self._run, name="console-watcher", daemon=True)
        self.overview = Overview(time.time(), client.broker, "")

    @property
    def services(self) -> list[str]:
        """The names of the services."""
        return list(self._histories)

    def start(self) -> None:
        """Start to look."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stopping.set()
        self._thread.join(ANSWER_SECONDS + LOOK_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.overview = self.look()
            except Exception:  # the console must go on, whatever a service or the broker does
                log.exception("look_failed")
            self._stopping.wait(LOOK_SECONDS)
        self._counting.close()

    def look(self) -> Overview:
        """Look once."""
        now = time.monotonic()
        replies = ask_all(self._client, self._operator, self.services, GetState, timeout=ANSWER_SECONDS)
        answers = {name: _state_or_trouble(reply) for name, reply in replies.items()}
        for name, (state, _) in answers.items():
            if state is not None:
                self._histories[name].queues = state.queues
        names = [queue.name for history in self._histories.values() for queue in history.queues]
        counts, trouble = self._count(names)
        is_point = now >= self._point_at
        if is_point:
            self._point_at = now + POINT_SECONDS
        services = [
            self._service(name, self._histories[name], *answers[name], counts, now, is_point=is_point)
            for name in answers
        ]
        return Overview(time.time(), self._client.broker, trouble, services)

    def _count(self, names: Sequence[str]) -> tuple[Mapping[str, QueueCounts], str]:
        try:
            return self._counting.counts(names), ""
        except TransportFailure as failure:
            return {}, str(failure)

    def _service(
        self,
        name: str,
        history: _History,
        state: ServiceState | None,
        trouble: str,
        counts: Mapping[str, QueueCounts],
        now: float,
        *,
        is_point: bool,
    ) -> ServiceNow:
        queues = [self._queue(queue, history, state, counts, now) for queue in history.queues]
        for worker in state.workers if state else ():
            before = history.handled.get(worker.id, worker.handled)
            history.done_now += worker.handled - before
            history.handled[worker.id] = worker.handled
        if is_point:
            ready = sum(queue.ready + queue.unacknowledged for queue in queues if queue.is_consumed)
            grown = 0 if history.ready_before is None else ready - history.ready_before
            history.done.append(history.done_now / POINT_SECONDS)
            history.arrived.append(max(0, history.done_now + grown) / POINT_SECONDS)
            history.ready_before, history.done_now = ready, 0
        return ServiceNow(name, state, trouble, queues, tuple(history.arrived), tuple(history.done))

    def _queue(
        self,
        queue: QueueInState,
        history: _History,
        state: ServiceState | None,
        counts: Mapping[str, QueueCounts],
        now: float,
    ) -> QueueNow:
        found = counts.get(queue.name)
        ready, consumers = found or (0, 0)
        if ready:
            history.not_empty_since.setdefault(queue.name, now)
        else:
            history.not_empty_since.pop(queue.name, None)
        return QueueNow(
            name=queue.name,
            kind=queue.kind,
            bound=queue.bound,
            exists=found is not None,
            ready=ready,
            unacknowledged=sum(each.unacknowledged.get(queue.name, 0) for each in state.workers) if state else 0,
            consumers=consumers,
            waiting_seconds=now - history.not_empty_since.get(queue.name, now),
        )


def _state_or_trouble(reply: ServiceState | ProblemError) -> tuple[ServiceState | None, str]:
    if isinstance(reply, ProblemError):
        return None, reply.problem.detail or str(reply)
    return reply, ""
