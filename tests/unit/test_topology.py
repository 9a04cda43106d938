"""The topology: every RabbitMQ from 3.10 on takes it, and no queue is without a bound but the dead letters."""

import pytest

from bus.operation import operations_in
from bus.topology import Queue, dead_letter_queue, queue_of, queues_of
from catalog import contract
from catalog.contract import CreateProduct, GetProduct


def test_an_operations_queue_bears_its_name() -> None:
    assert queue_of(CreateProduct).name == "catalog.create_product"
    assert queue_of(GetProduct).name == "catalog.get_product"


def test_commands_are_replicated_bounded_and_dead_lettered_after_a_few_crashes() -> None:
    assert queue_of(CreateProduct).arguments() == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 8,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "catalog.dead",
        "x-max-length": 100_000,
        "x-overflow": "reject-publish",
    }


def test_queries_are_bounded_and_kept_nowhere() -> None:
    assert queue_of(GetProduct).arguments() == {"x-max-length": 10_000, "x-overflow": "reject-publish"}


def test_dead_letters_are_replicated_and_never_dropped() -> None:
    queue = dead_letter_queue("catalog")
    assert (queue.name, queue.arguments()) == (
        "catalog.dead",
        {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000},
    )


@pytest.mark.parametrize("kind", ["command", "query"])
def test_a_queue_without_a_bound_says_nothing_of_length(kind: str) -> None:
    queue = Queue("catalog.x", kind)  # type: ignore[arg-type]
    assert not queue.arguments().keys() & {"x-max-length", "x-overflow"}


def test_a_service_has_a_queue_for_each_operation_and_one_for_its_dead() -> None:
    names = [queue.name for queue in queues_of(operations_in(contract))]
    assert names[0] == "catalog.dead"
    assert sorted(names[1:]) == sorted(operation.operation_name for operation in operations_in(contract))
