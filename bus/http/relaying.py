"""Relaying: one HTTP request, answered by one operation."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any
from uuid import uuid4

from flask import Response

from bus.client.client import ANSWER_SECONDS
from bus.contract.operations import Operation
from bus.contract.problems import ReplyTimeout
from bus.http.context import client, in_progress, request_in_hand, request_record
from bus.http.preferences import preferences_of
from bus.http.request_body import body_of
from bus.http.responses import relayed, respond
from bus.http.telemetry import RequestRecord
from bus.messaging.checks import check_message_id
from bus.messaging.replies import ACCEPTED, EncodedReply


def relay(operation: type[Operation[Any]], **fields: object) -> Response:
    """Answer the HTTP request in hand by an operation: its fields are the body's or the query's, and these.

    Raises ProblemError, which the application turns into a problem document.
    """
    request, this = request_in_hand(), request_record()
    this.operation = operation.operation_name
    body = body_of(request, operation, fields)
    message_id = request.headers.get("Idempotency-Key")
    if message_id is not None:
        check_message_id(message_id)
    preferences = preferences_of(request.headers.get("Prefer", ""))
    wait = preferences.wait(ANSWER_SECONDS, is_command=operation.is_command)
    with _alone(message_id if operation.is_command else None):
        this.message_id = message_id or uuid4().hex
        response = _answered(operation, body, this, wait)
    if applied := preferences.applied_to(accepted=response.status_code == ACCEPTED):
        response.headers["Preference-Applied"] = applied
    return response


def _alone(key: str | None) -> AbstractContextManager[None]:
    """Whoever sends a key again while its first request is in hand is told so, and holds no second thread."""
    return nullcontext() if key is None else in_progress().only_one(key)


def _answered(operation: type[Operation[Any]], body: bytes, this: RequestRecord, wait: float) -> Response:
    """The answer within `wait` seconds, or that it is late: of a command then, that it is accepted."""
    timeout, message_id = max(ANSWER_SECONDS, wait), this.message_id
    try:
        reply = client().exchange(operation, body, timeout=timeout, wait=wait, message_id=message_id, trace=this.trace)
        return relayed(reply)
    except ReplyTimeout as late:
        return respond(
            EncodedReply.accepted(message_id) if operation.is_command else EncodedReply.problem(late.problem)
        )
