"""Execution: from valid calls to replies, with every effect exactly once. Everything that decides about it is here.

The fast way takes a whole batch: the handlers, one statement that writes all inbox rows, one commit. It looks nothing
up: a call that was carried out before conflicts with the key of the inbox. Whatever goes wrong (a duplicate, a refusal,
an error) rolls the batch back, and each call is carried out on its own, the careful way: look into the inbox first.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog

from bus import failpoints
from bus.contract.problems import Problem
from bus.contract.redaction import Request, error_text, error_traceback, refusal_problem
from bus.contract.refusals import Refusal
from bus.database import outbox
from bus.database.engine import Database, DatabaseUnavailable, Transaction
from bus.database.inbox import AlreadyDone, look_up, record
from bus.messaging.call import Call, current_handler
from bus.messaging.replies import EVENT_HANDLED, EncodedReply
from bus.service.handler import Handler
from bus.service.work import Work

# A fault is often a deadlock or a conflict that is gone at the next try. More tries come later, from a retry queue.
QUICK_TRIES = 3
LONGEST_PAUSE_SECONDS = 0.1

INTERNAL_ERROR = Problem.of("internal-error", 500, "Internal error", "The service failed; its operator has been told.")

Handlers = Mapping[str, Handler]
OnEvents = Callable[[], None]

log = structlog.get_logger("bus.worker")


class HandlerFailed(Exception):
    """A handler failed at every try. The service's author's fault.

    `__cause__` is its last error as it was. `error_class`, `message` and `traceback` are for logs and dead letters:
    they never hold a secret of the request (see `bus.contract.redaction`).
    """

    def __init__(self, error: Exception, request: Request) -> None:
        self.error_class = type(error).__name__
        self.message = error_text(error, request)
        self.traceback = error_traceback(error, request)
        self.__cause__ = error
        super().__init__(self.error_class)


def execute(
    calls: Sequence[Call],
    handlers: Handlers,
    database: Database,
    *,
    as_batch: bool = True,
    on_events: OnEvents = lambda: None,
) -> list[EncodedReply | HandlerFailed]:
    """Carry out commands; `on_events` is called when events were committed.

    Raises DatabaseUnavailable; what was not committed then has not happened.
    """
    done = _as_batch(calls, handlers, database, on_events) if as_batch else None
    return done or list(_one_by_one(calls, handlers, database, on_events))


def execute_in_order(
    calls: Sequence[Call], handlers: Handlers, database: Database, *, on_events: OnEvents = lambda: None
) -> list[EncodedReply | HandlerFailed]:
    """The same for events: ends with the first that its handler failed with. Raises DatabaseUnavailable."""
    if done := _as_batch(calls, handlers, database, on_events):
        return done
    replies: list[EncodedReply | HandlerFailed] = []
    for reply in _one_by_one(calls, handlers, database, on_events):
        replies.append(reply)
        if isinstance(reply, HandlerFailed):
            break
    return replies


def answer_queries(calls: Sequence[Call], handlers: Handlers, database: Database) -> list[EncodedReply | HandlerFailed]:
    """Answer queries, which change nothing and are tried once. Raises DatabaseUnavailable."""
    try:
        return list(_read(calls, handlers, database))
    except DatabaseUnavailable:
        raise
    except Exception as error:  # any handler's
        if len(calls) == 1:
            return [HandlerFailed(error, calls[0].request)]
    return [reply for call in calls for reply in answer_queries([call], handlers, database)]


def _as_batch(
    calls: Sequence[Call], handlers: Handlers, database: Database, on_events: OnEvents
) -> list[EncodedReply | HandlerFailed] | None:
    """All in one transaction; None when that failed, and each call must show why on its own."""
    replies: list[EncodedReply | HandlerFailed] = []
    try:
        with _committing(database, on_events) as transaction:
            for handler, run in _runs(calls, handlers):
                replies.extend(_run(handler, run, transaction))
            record(transaction.connection, zip(calls, replies, strict=True))  # type: ignore[arg-type]
    except DatabaseUnavailable:
        raise
    except Exception as error:  # any handler's error, or AlreadyDone
        log.debug("batch_rolled_back", size=len(calls), reason=type(error).__name__)
        return None
    return replies


def _one_by_one(
    calls: Iterable[Call], handlers: Handlers, database: Database, on_events: OnEvents
) -> Iterator[EncodedReply | HandlerFailed]:
    for call in calls:
        yield _alone(call, handlers[call.operation.operation_name], database, on_events)


@contextmanager
def _committing(database: Database, on_events: OnEvents) -> Iterator[Transaction]:
    """A transaction that takes its events along."""
    with database.transaction() as transaction:
        yield transaction
        if transaction.events:
            outbox.write(transaction.connection, transaction.events)
        if failpoints.armed:
            failpoints.reach("worker.before-commit")
    if transaction.events:
        on_events()


def _runs(calls: Iterable[Call], handlers: Handlers) -> Iterator[tuple[Handler, list[Call]]]:
    """Neighbours with the same operation and caller, in order."""
    for (operation, _), run in groupby(calls, key=attrgetter("operation", "caller")):
        yield handlers[operation.operation_name], list(run)


def _run(handler: Handler, calls: Sequence[Call], transaction: Transaction) -> list[EncodedReply]:
    """Run a handler for calls of one caller. Raises what its function raises, Refusal included."""
    replies: list[Any] = []
    for group in [calls] if handler.takes_many else [[call] for call in calls]:
        work = Work(transaction, group[0].caller, handler.service, group)
        with current_handler(group):
            if handler.takes_many:
                replies += handler.function([call.request for call in group], work)
            else:
                replies.append(handler.function(group[0].request, work))
    if len(replies) != len(calls):
        raise TypeError(f"{handler.function.__name__} gave {len(replies)} replies to {len(calls)} requests")
    return [_encoded(handler, call, reply) for call, reply in zip(calls, replies, strict=True)]


def _encoded(handler: Handler, call: Call, reply: Any) -> EncodedReply:
    if call.kind == "event":
        return EVENT_HANDLED
    operation: Any = handler.operation
    if isinstance(reply, operation.reply_type):
        return EncodedReply.of(reply, operation.success_status)
    if isinstance(reply, Refusal):
        return _refused(reply, call)
    expected = operation.reply_type.__name__
    raise TypeError(f"{handler.function.__name__} returned {type(reply).__name__}, not {expected}")


def _read(calls: Sequence[Call], handlers: Handlers, database: Database) -> Iterator[EncodedReply]:
    with database.reading() as transaction:
        for handler, run in _runs(calls, handlers):
            try:
                yield from _run(handler, run, transaction)
            except Refusal as refusal:
                if len(run) > 1:
                    raise
                yield _refused(refusal, run[0])


def _alone(call: Call, handler: Handler, database: Database, on_events: OnEvents) -> EncodedReply | HandlerFailed:
    for tries_left in reversed(range(QUICK_TRIES)):
        try:
            return _stored(call, database) or _once(call, handler, database, on_events)
        except AlreadyDone:
            continue  # another worker was faster; its reply is in the inbox now
        except DatabaseUnavailable:
            raise
        except Exception as error:  # the handler's, whatever it is
            if not tries_left:
                return HandlerFailed(error, call.request)
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
    return _stored(call, database) or HandlerFailed(AlreadyDone(), call.request)


def _once(call: Call, handler: Handler, database: Database, on_events: OnEvents) -> EncodedReply:
    """Raises AlreadyDone, and whatever the handler raises but Refusal."""
    try:
        with _committing(database, on_events) as transaction:
            (reply,) = _run(handler, [call], transaction)
            record(transaction.connection, [(call, reply)])
        return reply
    except Refusal as refusal:
        refused = refusal
    # A refusal may itself come from having carried the call out before, in another worker, a moment ago.
    with database.transaction() as transaction:
        reply = _refused(refused, call)
        record(transaction.connection, [(call, reply)])
    return reply


def _stored(call: Call, database: Database) -> EncodedReply | None:
    if call.message_id is None:
        return None
    with database.reading() as transaction:
        stored = look_up(transaction.connection, call)
    if stored is not None:
        call.timing.forget()
    return stored


def _refused(refusal: Refusal, call: Call) -> EncodedReply:
    return EncodedReply.problem(refusal_problem(refusal, call.request))
