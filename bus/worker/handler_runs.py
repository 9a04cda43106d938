"""Runs of handlers: from valid calls to encoded replies, inside a transaction that somebody else ends.

A handler of many gets neighbours with the same operation and caller together; any other gets each call alone. Queries
are answered here as a whole, for they change nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from bus.contract.pages import PageQuery
from bus.contract.problems import Problem, ReplyTimeout, Unavailable
from bus.contract.redaction import Declared, error_text, error_traceback, refusal_problem
from bus.contract.refusals import Refusal, Refused
from bus.database.engine import Database, Transaction
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import Call, current_handler
from bus.messaging.replies import EVENT_HANDLED, EncodedReply
from bus.service.handler import Handler
from bus.service.nested_calls import NestedCalls
from bus.service.work import Work

INTERNAL_ERROR = Problem.of(
    "internal-error", 500, "Internal error", "The service failed. Give the trace id to its operator."
)

# A service that a handler calls cannot be reached, or does not answer in time.
CALLED_AWAY = "called-service-away"

Handlers = Mapping[str, Handler]


class HandlerFailed(Exception):
    """A handler failed at every try. The service's author's fault.

    `__cause__` is its last error as it was. `error_class`, `message` and `traceback` are for logs and dead letters:
    they never hold a secret of a request (see `bus.contract.redaction`).
    """

    def __init__(self, error: Exception, operation: Declared) -> None:
        self.error_class = type(error).__name__
        self.message = error_text(error, operation)
        self.traceback = error_traceback(error, operation)
        self.__cause__ = error
        super().__init__(self.error_class)


def answer_queries(
    calls: Sequence[Call], handlers: Handlers, database: Database, nested: NestedCalls | None = None
) -> list[EncodedReply | HandlerFailed]:
    """Answer queries, which change nothing and are tried once. Raises DatabaseUnavailable."""
    try:
        return list(_read(calls, handlers, database, nested))
    except DatabaseUnavailable:
        raise
    except Exception as error:  # any handler's
        if len(calls) == 1:
            (call,) = calls
            if is_away(error, handlers[call.operation.operation_name]):
                return [EncodedReply.problem(Unavailable(CALLED_AWAY, str(error)).problem, call.trace)]
            return [HandlerFailed(error, call.operation)]
    return [reply for call in calls for reply in answer_queries([call], handlers, database, nested)]


def groups_of(
    calls: Iterable[Call], handlers: Handlers, *, one_by_one: bool = False
) -> Iterator[tuple[Handler, list[Call]]]:
    """The calls in order, as their handlers take them: neighbours with the same operation and caller, or each alone."""
    for (operation, _), neighbours in groupby(calls, key=attrgetter("operation", "caller")):
        handler = handlers[operation.operation_name]
        if handler.takes_many and not one_by_one:
            yield handler, list(neighbours)
        else:
            yield from ((handler, [call]) for call in neighbours)


def run(
    handler: Handler, calls: Sequence[Call], transaction: Transaction, nested: NestedCalls | None
) -> list[EncodedReply]:
    """Run a handler for one call, or for many of one caller. Raises what its function raises, Refusal included."""
    work = Work(transaction, calls[0].caller, handler.service, calls, handler.calls, nested, handler.sends)
    with current_handler(calls):
        if handler.takes_many:
            replies: Sequence[Any] = handler.function([call.request for call in calls], work)
        else:
            replies = [handler.function(calls[0].request, work)]
    if len(replies) != len(calls):
        raise TypeError(f"{handler.function.__name__} gave {len(replies)} replies to {len(calls)} requests")
    return [_encoded(handler, call, reply) for call, reply in zip(calls, replies, strict=True)]


def _encoded(handler: Handler, call: Call, reply: Any) -> EncodedReply:
    if call.kind == "event":
        return EVENT_HANDLED
    operation: Any = handler.operation
    if isinstance(reply, operation.reply_type):
        next_page = reply.next if issubclass(operation, PageQuery) and operation.http else None
        return EncodedReply.of(reply, operation.success_status, next_page or "")
    if isinstance(reply, Refusal):
        return refused(reply, call)
    expected = operation.reply_type.__name__
    raise TypeError(f"{handler.function.__name__} returned {type(reply).__name__}, not {expected}")


def _read(
    calls: Sequence[Call], handlers: Handlers, database: Database, nested: NestedCalls | None
) -> Iterator[EncodedReply]:
    with database.reading() as transaction:
        for handler, group in groups_of(calls, handlers):
            try:
                yield from run(handler, group, transaction, nested)
            except (Refusal, Refused) as refusal:
                if len(group) > 1 or not is_answer(refusal):  # it does not say which it refuses
                    raise
                yield refused(refusal, group[0])


def is_answer(refusal: Refusal | Refused) -> bool:
    """Whether this is a "no", the handler's own or one that it passes on, and not that another service has failed."""
    return isinstance(refusal, Refusal) or refusal.problem.status < INTERNAL_ERROR.status


def refused(refusal: Refusal | Refused, call: Call) -> EncodedReply:
    """The reply to a call that was refused."""
    return EncodedReply.problem(refusal_problem(refusal, call.request), call.trace)


def is_away(error: Exception, handler: Handler) -> bool:
    """Whether a service that the handler calls cannot be reached, or does not answer in time."""
    return bool(handler.calls) and isinstance(error, (Unavailable, ReplyTimeout))
