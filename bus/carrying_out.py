"""Carrying out: from valid calls to answers, with every effect once.

The fast way takes a whole batch: the handlers, one statement that writes all inbox rows, one
commit. It looks nothing up: a call that was done before meets the inbox's key. Whatever is in its
way (a duplicate, a refusal, an error) undoes the batch, and each call is carried out alone, the
careful way: look into the inbox first.
"""

import random
import time
from collections.abc import Iterable, Sequence
from itertools import groupby

import structlog

from bus.answer import Answer
from bus.call import Call
from bus.database import Database, DatabaseAway
from bus.inbox import AlreadyDone, look_up, record
from bus.problem import Problem
from bus.refusal import Refusal
from bus.service import Handler, Service

# A fault is often a deadlock or a conflict that is gone at the next try. Beyond that it is not ours
# to guess.
QUICK_TRIES = 3
LONGEST_PAUSE_SECONDS = 0.2

INTERNAL_ERROR = Problem.of("internal-error", 500, "Internal error", "The service failed; its operator has been told.")

log = structlog.get_logger("bus.worker")


class GaveUp(Exception):
    """A handler failed at every try; `__cause__` is its last error. The service's author's fault."""


def carry_out(calls: Sequence[Call], service: Service, database: Database) -> list[Answer | GaveUp]:
    """Carry out commands. Raises DatabaseAway; what was not committed then has not happened."""
    if service.threads == 1:
        try:
            return list(_together(calls, service, database))
        except DatabaseAway:
            raise
        except Exception as error:  # any handler's error; each call alone shows whose
            log.debug("batch_undone", size=len(calls), reason=type(error).__name__)
    return [_alone(call, service.handlers[call.operation.operation_name], database) for call in calls]


def answer_queries(calls: Sequence[Call], service: Service, database: Database) -> list[Answer | GaveUp]:
    """Answer queries, which change nothing and are tried once. Raises DatabaseAway."""
    try:
        return list(_read(calls, service, database))
    except DatabaseAway:
        raise
    except Exception as error:  # as above
        if len(calls) == 1:
            return [_failed(error)]
    return [answer for call in calls for answer in answer_queries([call], service, database)]


def _together(calls: Sequence[Call], service: Service, database: Database) -> list[Answer]:
    """Raises AlreadyDone, and whatever a handler raises."""
    with database.transaction() as transaction:
        answers: list[Answer] = []
        for handler, run in _runs(calls, service):
            answers.extend(_answers(handler, handler.run(run, transaction)))
        record(transaction.connection, zip(calls, answers, strict=True))
    return answers


def _read(calls: Sequence[Call], service: Service, database: Database) -> list[Answer]:
    with database.reading() as transaction:
        answers: list[Answer] = []
        for handler, run in _runs(calls, service):
            try:
                answers.extend(_answers(handler, handler.run(run, transaction)))
            except Refusal as refusal:
                if len(run) > 1:
                    raise
                answers.append(Answer.problem(refusal.problem))
    return answers


def _alone(call: Call, handler: Handler, database: Database) -> Answer | GaveUp:
    for tries_left in reversed(range(QUICK_TRIES)):
        try:
            return _stored(call, database) or _once(call, handler, database)
        except AlreadyDone:
            continue  # another worker was faster; its answer is in the inbox now
        except DatabaseAway:
            raise
        except Exception as error:  # the handler's, whatever it is
            if not tries_left:
                return _failed(error)
            time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
    return _stored(call, database) or _failed(AlreadyDone())


def _once(call: Call, handler: Handler, database: Database) -> Answer:
    """Raises AlreadyDone, and whatever the handler raises but Refusal."""
    try:
        with database.transaction() as transaction:
            (answer,) = _answers(handler, handler.run([call], transaction))
            record(transaction.connection, [(call, answer)])
            return answer
    except Refusal as refusal:
        refused = refusal
    # A refusal may itself come from having done it before, in another worker, a moment ago.
    with database.transaction() as transaction:
        answer = Answer.problem(refused.problem)
        record(transaction.connection, [(call, answer)])
    return answer


def _stored(call: Call, database: Database) -> Answer | None:
    if call.message_id is None:
        return None
    with database.reading() as transaction:
        return look_up(transaction.connection, call)


def _runs(calls: Iterable[Call], service: Service) -> Iterable[tuple[Handler, list[Call]]]:
    """Neighbours with the same operation and caller, in order."""
    for (name, _caller), run in groupby(calls, key=lambda call: (call.operation.operation_name, call.caller)):
        yield service.handlers[name], list(run)


def _answers(handler: Handler, replies: Iterable[object]) -> Iterable[Answer]:
    status = handler.operation.success_status
    for reply in replies:
        yield Answer.problem(reply.problem) if isinstance(reply, Refusal) else Answer.of(reply, status)  # type: ignore[arg-type]


def _failed(error: Exception) -> GaveUp:
    gave_up = GaveUp(type(error).__name__)
    gave_up.__cause__ = error
    return gave_up
