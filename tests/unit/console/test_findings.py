"""Findings: what is wrong, in words, and nothing when all is well."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.console.charts import chart_of
from bus.console.findings import findings_of
from bus.console.watching import Overview, QueueNow, ServiceNow
from bus.contract.operator.state import SeenWorker, ServiceState

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def _worker(**given: Any) -> SeenWorker:
    values: dict[str, Any] = {
        "id": "1",
        "host": "here",
        "pid": 7,
        "version": "0.1.0",
        "since": NOW - timedelta(hours=1),
        "why_not_ready": "",
        "handled": 0,
        "failed": 0,
        "batch": 1.0,
        "handler_ms_p50": None,
        "handler_ms_p99": None,
        "unacknowledged": {},
        "seen_seconds_ago": 0.5,
        "is_lost": False,
    }
    return SeenWorker(**values | given)


def _queue(**given: Any) -> QueueNow:
    values: dict[str, Any] = {
        "name": "shop.order",
        "kind": "command",
        "bound": 10_000,
        "exists": True,
        "ready": 0,
        "unacknowledged": 0,
        "consumers": 1,
        "waiting_seconds": 0.0,
    }
    return QueueNow(**values | given)


def _overview(*queues: QueueNow, **state: Any) -> Overview:
    values: dict[str, Any] = {
        "service": "shop",
        "database": "sqlite",
        "commands_wait": "",
        "outbox_waiting": 0,
        "outbox_refused": 0,
        "outbox_oldest_seconds": 0.0,
        "dead_letters": 0,
        "workers": [_worker()],
        "queues": [],
    }
    return Overview(
        NOW.timestamp(), "RabbitMQ", "", [ServiceNow("shop", ServiceState(**values | state), "", queues or [_queue()])]
    )


def test_when_all_is_well_there_is_nothing_to_say() -> None:
    assert findings_of(_overview()) == []
    retry = _queue(name="shop.retry.5s", kind="retry", ready=3, consumers=0, waiting_seconds=60.0)
    assert findings_of(_overview(retry)) == []


@pytest.mark.parametrize(
    ("overview", "text"),
    [
        (
            _overview(commands_wait="The database takes no writes."),
            "shop: commands wait. The database takes no writes.",
        ),
        (
            _overview(workers=[_worker(is_lost=True, seen_seconds_ago=130.0)]),
            "shop: the worker on here (process 7) is lost: it has not written for 2 min.",
        ),
        (
            _overview(workers=[_worker(why_not_ready="There is no connection to the broker.")]),
            "shop: the worker on here (process 7) handles nothing. There is no connection to the broker.",
        ),
        (
            _overview(outbox_waiting=12, outbox_oldest_seconds=30.0),
            "shop: 12 committed events are not sent, the oldest for 30 s.",
        ),
        (_overview(dead_letters=1), "shop: 1 dead letter to look at."),
        (_overview(dead_letters=10_000), "shop: 10,000 dead letters to look at."),
        (_overview(dead_letters=10_001), "shop: more than 10,000 dead letters to look at."),
        (_overview(_queue(ready=2, consumers=0)), "shop.order: 2 messages and no consumer."),
        (
            _overview(_queue(ready=9000)),
            "shop.order: 9,000 messages of 10,000 that it can hold; then it refuses more.",
        ),
        (
            _overview(_queue(ready=5, waiting_seconds=8.0)),
            "shop.order: 5 messages are waiting, and there have been some for 8 s.",
        ),
        (
            _overview(_queue(ready=1, waiting_seconds=60.0)),
            "shop.order: 1 message is waiting, and there have been some for 60 s.",
        ),
        (_overview(_queue(ready=1000)), "shop.order: 1,000 messages are waiting."),
        (_overview(_queue(consumers=0)), "shop.order has no consumer, though workers of its service run."),
        (
            Overview(0.0, "RabbitMQ", "", [ServiceNow("shop", None, "No worker of shop answers.", [])]),
            "shop: No worker of shop answers.",
        ),
        (
            Overview(0.0, "RabbitMQ", "RabbitMQ at here cannot be reached.", []),
            "RabbitMQ at here cannot be reached. Nothing that follows is known while it is away.",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(overview: Overview, text: str) -> None:
    assert [finding.text for finding in findings_of(overview)] == [text]


def test_that_queues_have_no_consumer_is_not_said_while_their_service_starts_or_is_lost() -> None:
    starting = _worker(why_not_ready="There is no connection to the broker.")
    assert len(findings_of(_overview(_queue(consumers=0), workers=[starting]))) == 1
    found = findings_of(_overview(_queue(consumers=0), workers=[starting, _worker(id="2")]))
    assert [finding.text for finding in found][1:] == ["shop.order has no consumer, though workers of its service run."]
    # Nor are all its queues shown then as though there was something to see.
    silent = ServiceNow("shop", None, "No worker of shop answers.", [_queue(consumers=0), _queue(ready=1, consumers=0)])
    assert [queue.ready for queue in silent.busy_queues] == [1]
    assert [queue.ready for queue in silent.quiet_queues] == [0]


def test_a_lost_worker_is_not_missed_once_another_has_come_and_what_is_wrong_comes_first() -> None:
    lost = _worker(is_lost=True, seen_seconds_ago=10.0)
    new = _worker(id="2", since=NOW - timedelta(seconds=2))
    assert findings_of(_overview(workers=[lost, new])) == []
    both = findings_of(_overview(workers=[lost], dead_letters=2))
    assert [finding.level for finding in both] == ["wrong", "look"]


def test_a_chart_is_as_wide_as_its_time_and_says_its_numbers() -> None:
    chart = chart_of([1.0, 3.0], [0.0, 2.0])
    assert chart.arrived.split()[-1] == "270.0,2.0"
    assert chart.words == "Messages in 3.0/s, out 2.0/s; in the last 15 minutes at most 3.0/s."
    assert chart_of([], []).arrived == ""
