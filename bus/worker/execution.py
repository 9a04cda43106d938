"""Carrying out: from valid calls to answers, with every effect once.

The fast way takes a whole batch: the handlers, one statement that writes all inbox rows, one
commit. It looks nothing up: a call that was done before meets the inbox's key. Whatever is in its
way (a duplicate, a refusal, an error) undoes the batch, and each call is carried out alone, the
careful way: look into the inbox first.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import structlog

from bus import failpoints
from bus.contract.problems import Problem
from bus.contract.redaction import Request, error_text, error_traceback, refusal_problem
from bus.contract.refusals import Refusal
from bus.database import outbox
from bus.database.engine import Database, DatabaseUnavailable, Transaction
from bus.database.inbox import AlreadyDone, look_up, record
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.service.service import Handler, Service

# A fault is often a deadlock or a conflict that is gone at the next try. Beyond that it is not ours
# to guess.
QUICK_TRIES = 3
LONGEST_PAUSE_SECONDS = 0.1

INTERNAL_ERROR = Problem.of("internal-error", 500, "Internal error", "The service failed; its operator has been told.")

Emitted = Callable[[], None]

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
    calls: Sequence[Call], service: Service, database: Database, emitted: Emitted = lambda: None
) -> list[EncodedReply | HandlerFailed]:
    """Carry out commands; `emitted` is told when events were committed.

    Raises DatabaseUnavailable; what was not committed then has not happened.
    """
    done = _together(calls, service, database, emitted) if service.threads == 1 else None
    return done or [_alone(call, service.handler_of(call), database, emitted) for call in calls]


def execute_in_order(
    calls: Sequence[Call], service: Service, database: Database, emitted: Emitted = lambda: None
) -> list[EncodedReply | HandlerFailed]:
    """The same for events: after one that a handler failed with, the later ones wait. Raises DatabaseUnavailable."""
    if done := _together(calls, service, database, emitted):
        return done
    answers: list[EncodedReply | HandlerFailed] = []
    for call in calls:
        answers.append(_alone(call, service.handler_of(call), database, emitted))
        if isinstance(answers[-1], HandlerFailed):
            break
    return answers


def answer_queries(calls: Sequence[Call], service: Service, database: Database) -> list[EncodedReply | HandlerFailed]:
    """Answer queries, which change nothing and are tried once. Raises DatabaseUnavailable."""
    try:
        return list(_read(calls, service, database))
    except DatabaseUnavailable:
        raise
    except Exception as error:  # as above
        if len(calls) == 1:
            return [HandlerFailed(error, calls[0].request)]
    return [answer for call in calls for answer in answer_queries([call], service, database)]


def _together(
    calls: Sequence[Call], service: Service, database: Database, emitted: Emitted
) -> list[EncodedReply | HandlerFailed] | None:
    """All in one transaction; None when that did not work, and each call alone must show why."""
    answers: list[EncodedReply | HandlerFailed] = []
    try:
        with _committing(database, emitted) as transaction:
            for handler, run in _runs(calls, service):
                answers.extend(_answers(handler, run, transaction))
            record(transaction.connection, zip(calls, answers, strict=True))  # type: ignore[arg-type]
    except DatabaseUnavailable:
        raise
    except Exception as error:  # any handler's error, or AlreadyDone
        log.debug("batch_undone", size=len(calls), reason=type(error).__name__)
        return None
    return answers


@contextmanager
def _committing(database: Database, emitted: Emitted) -> Iterator[Transaction]:
    """A transaction that takes its events along."""
    with database.transaction() as transaction:
        yield transaction
        if transaction.events:
            outbox.write(transaction.connection, transaction.events)
        failpoints.reach("worker.before-commit")
    if transaction.events:
        emitted()


def _read(calls: Sequence[Call], service: Service, database: Database) -> list[EncodedReply]:
    with database.reading() as transaction:
        answers: list[EncodedReply] = []
        for handler, run in _runs(calls, service):
            try:
                answers.extend(_answers(handler, run, transaction))
            except Refusal as refusal:
                if len(run) > 1:
                    raise
                answers.append(_refused(refusal, run[0]))
    return answers


def _alone(call: Call, handler: Handler, database: Database, emitted: Emitted) -> EncodedReply | HandlerFailed:
    for tries_left in reversed(range(QUICK_TRIES)):
        try:
            return _stored(call, database) or _once(call, handler, database, emitted)
        except AlreadyDone:
            continue  # another worker was faster; its answer is in the inbox now
        except DatabaseUnavailable:
            raise
        except Exception as error:  # the handler's, whatever it is
            if not tries_left:
                return HandlerFailed(error, call.request)
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
    return _stored(call, database) or HandlerFailed(AlreadyDone(), call.request)


def _once(call: Call, handler: Handler, database: Database, emitted: Emitted) -> EncodedReply:
    """Raises AlreadyDone, and whatever the handler raises but Refusal."""
    try:
        with _committing(database, emitted) as transaction:
            (answer,) = _answers(handler, [call], transaction)
            record(transaction.connection, [(call, answer)])
        return answer
    except Refusal as refusal:
        refused = refusal
    # A refusal may itself come from having done it before, in another worker, a moment ago.
    with database.transaction() as transaction:
        answer = _refused(refused, call)
        record(transaction.connection, [(call, answer)])
    return answer


def _stored(call: Call, database: Database) -> EncodedReply | None:
    if call.message_id is None:
        return None
    with database.reading() as transaction:
        stored = look_up(transaction.connection, call)
    if stored is not None:
        call.timing.forget()
    return stored


def _runs(calls: Iterable[Call], service: Service) -> Iterable[tuple[Handler, list[Call]]]:
    """Neighbours with the same operation and caller, in order."""
    for _, run in groupby(calls, key=lambda call: (call.operation.operation_name, call.caller)):
        handled = list(run)
        yield service.handler_of(handled[0]), handled


def _answers(handler: Handler, calls: Sequence[Call], transaction: Transaction) -> Iterable[EncodedReply]:
    """Raises whatever the handler raises."""
    status = handler.operation.success_status
    for call, reply in zip(calls, handler.run(calls, transaction), strict=True):
        yield _refused(reply, call) if isinstance(reply, Refusal) else EncodedReply.of(reply, status)


def _refused(refusal: Refusal, call: Call) -> EncodedReply:
    return EncodedReply.problem(refusal_problem(refusal, call.request))
