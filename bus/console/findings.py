"""Findings: what is wrong now, in words, with what to do. Rules only, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from bus.console.watching import Overview, QueueNow, ServiceNow
from bus.contract.operator.state import MOST_COUNTED, ServiceState

# A queue that is not empty is one that fills when it stays so for this long, or holds as many.
WAITING_SECONDS, MANY_READY = 5.0, 1000
# The part of its bound at which a queue is nearly full.
NEARLY_FULL = 0.8
# Events are sent within a second of their commit.
OUTBOX_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One sentence. `is_wrong` is False for what an operator should look at some time. `path` leads to more."""

    text: str
    level: Literal["wrong", "look"] = "wrong"
    path: str = ""


def findings_of(overview: Overview) -> list[Finding]:
    """What is wrong, the worst first; empty when all is well."""
    if overview.broker_trouble:
        return [Finding(f"{overview.broker_trouble} Nothing that follows is known while it is away.")]
    found = [finding for service in overview.services for finding in _of_service(service, overview.at)]
    return sorted(found, key=lambda finding: finding.level, reverse=True)


def _of_service(service: ServiceNow, at: float) -> Iterator[Finding]:
    state = service.state
    if state is None:
        yield Finding(f"{service.name}: {service.trouble}")
    else:
        if state.commands_wait:
            yield Finding(f"{service.name}: commands wait. {state.commands_wait}")
        yield from _of_workers(service.name, state, datetime.fromtimestamp(at, UTC))
        if state.outbox_oldest_seconds >= OUTBOX_SECONDS:
            age = _duration(state.outbox_oldest_seconds)
            yield Finding(
                f"{service.name}: {counted(state.outbox_waiting)} committed events are not sent, the oldest for {age}."
            )
        if state.dead_letters:
            letters = f"dead letter{'' if state.dead_letters == 1 else 's'}"
            text = f"{service.name}: {counted(state.dead_letters)} {letters} to look at."
            yield Finding(text, "look", f"/dead-letters/{service.name}")
    handles = state is not None and any(not (worker.is_lost or worker.why_not_ready) for worker in state.workers)
    for queue in service.queues:
        if queue.is_consumed:
            yield from _of_queue(queue, service_handles=handles)


def _of_workers(name: str, state: ServiceState, now: datetime) -> Iterator[Finding]:
    for worker in state.workers:
        who = f"{name}: the worker on {worker.host} (process {worker.pid})"
        seen_at = now - timedelta(seconds=worker.seen_seconds_ago)
        if worker.is_lost and not any(each.since > seen_at for each in state.workers):  # until another one has come
            yield Finding(f"{who} is lost: it has not written for {_duration(worker.seen_seconds_ago)}.")
        elif worker.why_not_ready and not worker.is_lost and worker.why_not_ready != state.commands_wait:
            yield Finding(f"{who} handles nothing. {worker.why_not_ready}")


def _of_queue(queue: QueueNow, *, service_handles: bool) -> Iterator[Finding]:
    messages = f"{queue.name}: {_many(queue.ready, 'message')}"
    waiting = f"{messages} {'is' if queue.ready == 1 else 'are'} waiting"
    if queue.ready and not queue.consumers:
        yield Finding(f"{messages} and no consumer.")
    elif queue.bound and queue.ready >= NEARLY_FULL * queue.bound:
        yield Finding(f"{messages} of {queue.bound:,} that it can hold; then it refuses more.")
    elif queue.waiting_seconds >= WAITING_SECONDS:
        yield Finding(f"{waiting}, and there have been some for {_duration(queue.waiting_seconds)}.", "look")
    elif queue.ready >= MANY_READY:
        yield Finding(f"{waiting}.", "look")
    elif service_handles and queue.exists and not queue.consumers:
        yield Finding(f"{queue.name} has no consumer, though workers of its service run.")


def counted(count: int) -> str:
    """A count of a state, which stops at MOST_COUNTED."""
    return f"more than {MOST_COUNTED:,}" if count > MOST_COUNTED else f"{count:,}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
