"""Built-in operations: every service answers them, by way of its database."""

from support.example_service import make_service

from bus.contract.builtin import ping_of
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.messaging.connect import transport_for
from bus.messaging.topology import DEFAULT_LIMITS
from bus.service.service import Service
from bus.worker.builtins import builtin_handlers
from bus.worker.handler_runs import answer_queries
from bus.worker.operator import OperatorHandlers


def test_the_ping_goes_to_the_database(database: Database) -> None:
    ping = ping_of("shop")
    (answer,) = answer_queries([Call(ping, ping(), None)], builtin_handlers(Service("shop")), database)
    assert b'"service":"shop","database":"sqlite"' in getattr(answer, "body", b"")


def test_every_built_in_operation_has_a_handler(database: Database, memory_url: str) -> None:
    transport = transport_for(memory_url, "shop")
    for service in (Service("shop"), make_service()):
        names = [operation.operation_name for operation in service.builtin_operations]
        for_operators = OperatorHandlers(service, database, transport, DEFAULT_LIMITS, lambda: "").by_queue
        assert [*builtin_handlers(service), *for_operators] == names
