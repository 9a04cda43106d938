"""The topology: accepted by every RabbitMQ we promise, 3.10 (Debian 12's, a private process) to 4.x (a container)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.docker_engine import need_docker

from bus.messaging.connect import transport_for
from bus.messaging.rabbitmq import differences
from bus.messaging.topology import Queue, queues_of
from bus.messaging.transport import TransportFailure, TransportOptions
from bus.service.application import installed_applications
from bus.testing.servers.rabbitmq import Broker, find_broker

# A broker that has just come up makes dozens of queues, on a busy machine.
READY_SECONDS = 60

QUEUES = queues_of(
    operation
    for application in installed_applications().values()
    for operation in application.service.operations.values()
)


@pytest.fixture(params=["process", "container"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "container":
        need_docker()
    with find_broker(request.param) as broker:
        yield broker


def test_the_topology_is_accepted_twice_and_compares_equal(broker: Broker) -> None:
    assert [sentence for sentence in differences(broker.url, QUEUES)[0] if "missing" in sentence]
    for _ in range(2):
        with _declared(broker.url, QUEUES) as transport:
            assert transport.wait_until_ready(READY_SECONDS)
    assert differences(broker.url, QUEUES)[0] == []


def test_a_queue_declared_otherwise_is_one_clear_sentence(broker: Broker) -> None:
    taken = Queue("catalog.create_product", "query", bound=7)
    with _declared(broker.url, [taken]) as transport:
        assert transport.wait_until_ready(READY_SECONDS)
    with _declared(broker.url, QUEUES) as transport, pytest.raises(TransportFailure, match=r"catalog\.create_product"):
        transport.wait_until_ready(READY_SECONDS)
    (difference,) = (sentence for sentence in differences(broker.url, QUEUES)[0] if "missing" not in sentence)
    assert "catalog.create_product" in difference


@contextlib.contextmanager
def _declared(url: str, queues: list[Queue]) -> Iterator[Any]:
    transport = transport_for(url, "versions")
    transport.open(TransportOptions(declares=queues))
    yield transport
    transport.close(5)
