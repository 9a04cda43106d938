"""Reply messages, as their caller reads them."""

from typing import Any

from bus.contract.operations import Operation
from bus.contract.prepared import read_json
from bus.contract.problems import Invalid, Problem, ProblemError, Unavailable
from bus.contract.refusals import Refused
from bus.messaging.message import Message

_NOT_ACCEPTABLE = (400, 413, 415, 422)


def status_of(reply: Message) -> int:
    """The status a reply carries, as HTTP would give it (RFC 9110, section 15)."""
    status = reply.headers.get("status")
    return status if isinstance(status, int) else 500


def error_of(operation: type[Operation[Any]], status: int, body: bytes) -> ProblemError:
    """What a caller in Python is to be raised for a problem document."""
    problem = read_json(body, Problem)
    refusal = operation.refusals.get(problem.code)
    if refusal is not None:
        return refusal(problem.detail, problem.errors)
    if status in _NOT_ACCEPTABLE and "." not in problem.code:  # a service's own refusals have its name before a dot
        return Invalid(problem.code, status, problem.title, problem.detail, problem.errors)
    if status == 503:
        return Unavailable(problem.code, problem.detail, problem.retry_after or 1)
    return Refused(problem)
