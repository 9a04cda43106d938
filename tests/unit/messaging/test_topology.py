"""The topology: every RabbitMQ from 3.10 on accepts it, and only the queue of dead letters is unlimited."""

from typing import Any

import pytest
from support.example_service import Grant

from bus.contract.operations import Operation, operations_in
from bus.messaging.declarations import bindings_of
from bus.messaging.topology import (
    Limits,
    Queue,
    dead_letter_queue,
    events_queue,
    quarantine_queue,
    queue_of,
    queues_of,
    retry_queues,
    stream_queue,
)
from catalog import contract
from catalog.contract import CreateProduct, GetProduct


def test_an_operations_queue_has_its_name() -> None:
    assert queue_of(CreateProduct).name == "catalog.create_product"
    assert queue_of(GetProduct).name == "catalog.get_product"


def test_commands_are_replicated_bounded_and_dead_lettered_after_many_crashes() -> None:
    assert queue_of(CreateProduct).arguments() == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "catalog.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-max-length": 100_000,
        "x-overflow": "reject-publish",
    }


@pytest.mark.parametrize("operation", [GetProduct, Grant])
def test_what_is_not_durable_is_bounded_and_not_replicated(operation: type[Operation[Any]]) -> None:
    assert queue_of(operation).arguments() == {"x-max-length": 10_000, "x-overflow": "reject-publish"}
    assert [binding.exchange for binding in bindings_of(queue_of(operation))] == ["bus.requests"]


@pytest.mark.parametrize("operation", [GetProduct, Grant])
def test_what_is_not_durable_is_replicated_on_request(operation: type[Operation[Any]]) -> None:
    assert queue_of(operation, Limits(replicate_queries=True)).arguments() == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-max-length": 10_000,
        "x-overflow": "reject-publish",
    }


def test_the_quarantine_dead_letters_a_message_after_three_deaths() -> None:
    queue = quarantine_queue("catalog")
    arguments = queue.arguments()
    assert (queue.name, arguments["x-delivery-limit"]) == ("catalog.quarantine", 2)
    assert arguments["x-dead-letter-routing-key"] == "catalog.dead"


def test_a_retry_queue_returns_messages_to_the_queue_they_came_from() -> None:
    queues = retry_queues("catalog", Limits(retry_seconds=(1, 60)))
    assert [queue.name for queue in queues] == ["catalog.retry.1s", "catalog.retry.60s"]
    arguments = queues[1].arguments()
    assert (arguments["x-message-ttl"], arguments["x-dead-letter-exchange"]) == (60_000, "catalog.retried")
    assert "x-dead-letter-routing-key" not in arguments


def test_all_events_of_a_listener_are_in_one_queue_with_one_active_consumer() -> None:
    queue = events_queue("feed", ["catalog.product_changed", "auth.user_changed"])
    assert (queue.name, queue.topics) == ("feed.events", ("catalog.product_changed", "auth.user_changed"))
    assert queue.arguments()["x-single-active-consumer"] is True


def test_the_queue_of_an_event_stream_drops_the_oldest_and_refuses_nothing() -> None:
    queue = stream_queue("catalog.*")
    assert queue.topics == ("catalog.*",)
    assert queue.arguments() == {"x-queue-type": "classic", "x-max-length": 10_000}
    assert stream_queue("catalog.*").name != queue.name


def test_dead_letters_are_replicated_and_never_dropped() -> None:
    queue = dead_letter_queue("catalog")
    assert (queue.name, queue.arguments()) == (
        "catalog.dead",
        {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000},
    )


@pytest.mark.parametrize("kind", ["command", "transient", "query"])
def test_a_queue_without_a_bound_has_no_length_argument(kind: str) -> None:
    queue = Queue("catalog.x", kind)  # type: ignore[arg-type]
    assert "x-max-length" not in queue.arguments()


def test_a_service_has_a_queue_for_each_operation_and_those_for_faults() -> None:
    names = [queue.name for queue in queues_of(operations_in(contract))]
    special, operations = names[:5], names[5:]
    retries = ["catalog.retry.5s", "catalog.retry.30s", "catalog.retry.120s"]
    assert special == ["catalog.dead", "catalog.quarantine", *retries]
    assert operations == [operation.operation_name for operation in operations_in(contract)]


def test_only_a_service_that_listens_has_a_queue_for_events() -> None:
    names = [queue.name for queue in queues_of(operations_in(contract), topics=["auth.user_changed"])]
    assert "catalog.events" in names
