"""Carrying out commands and queries of a service on a database, without a broker."""

import json
from collections.abc import Sequence
from typing import Any

from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.service.service import Service
from bus.worker.execution import Executor
from bus.worker.handler_runs import answer_queries


def execute(service: Service, database: Database, *requests: Operation[Any]) -> list[tuple[int, dict[str, Any]]]:
    """Status and body of the reply to each request. The commands share a transaction, as those of a batch do."""
    calls = [Call(type(request), request, None) for request in requests]
    if requests[0].operation_kind == "query":
        return _decoded(answer_queries(calls, service.handlers, database))
    return _decoded(Executor(service.handlers, database).execute(calls))


def _decoded(replies: Sequence[object]) -> list[tuple[int, dict[str, Any]]]:
    failed = [reply for reply in replies if not isinstance(reply, EncodedReply)]
    assert not failed, [getattr(each, "traceback", each) for each in failed]
    return [(reply.status, json.loads(reply.body)) for reply in replies if isinstance(reply, EncodedReply)]
