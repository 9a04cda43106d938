"""The heartbeat: the workers of a service as any of them sees all."""

import time

import msgspec
from sqlalchemy import insert

from bus.client.client import Client
from bus.contract.operator.operations import operator_operations
from bus.contract.operator.state import GetState, ServiceState
from bus.database.engine import Database
from bus.database.tables import worker as table
from bus.messaging.connect import transport_for
from bus.security.operators import Operator
from bus.testing.waiting import wait_until
from bus.worker.background.heartbeat import LOST_SECONDS
from bus.worker.worker import Worker
from catalog.contract import ListProducts
from catalog.handlers import catalog

TOKEN = "the operator token"
WAIT_SECONDS = 30.0


def _state(client: Client) -> ServiceState:
    state: ServiceState = client.call(operator_operations("catalog")[GetState](), token=Operator("ann", TOKEN))
    return state


def test_the_state_of_a_service_has_its_workers_and_what_waits(database: Database, memory_url: str) -> None:
    workers = [
        Worker(catalog, transport_for(memory_url, f"catalog-{number}"), database, operator_token=TOKEN)
        for number in range(2)
    ]
    for each in workers:
        each.start()
    with Client(memory_url) as client:
        client.call(ListProducts())
        # A ping has a time too, but is not counted.
        wait_until(lambda: any(each.handled for each in _state(client).workers), WAIT_SECONDS, "a message is counted")
        wait_until(lambda: len(_state(client).workers) == 2, WAIT_SECONDS, "both have written")
        state = _state(client)
        assert (state.service, state.database, state.commands_wait) == ("catalog", "sqlite", "")
        assert (state.outbox_waiting, state.dead_letters) == (0, 0)
        assert {"catalog.create_product", "catalog.dead", "catalog.get_state"} <= {queue.name for queue in state.queues}
        assert not any(each.is_lost or each.why_not_ready for each in state.workers)
        assert any(each.handler_ms_p50 for each in state.workers)
        workers[0].stop(WAIT_SECONDS)
        (left,) = _state(client).workers  # one that stops in order is not missed
        with database.transaction() as transaction:
            killed = msgspec.json.encode(msgspec.structs.replace(left, id="killed"))
            seen_at = time.time() - LOST_SECONDS - 1
            transaction.connection.execute(insert(table).values(id="killed", state=killed, seen_at=seen_at))
        assert sorted((each.id == "killed", each.is_lost) for each in _state(client).workers) == [
            (False, False),
            (True, True),
        ]
        workers[1].stop(WAIT_SECONDS)
