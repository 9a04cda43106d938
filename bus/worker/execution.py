"""Execution: from valid calls to replies, with every effect exactly once. Everything that decides about it is here.

A batch is one transaction: the handlers, one statement that writes all inbox rows, one commit. It begins without a look
into the inbox: a call that was carried out before conflicts with the key of the inbox. What goes wrong costs as little
as it can, because it may go wrong in every batch:

- A duplicate: the transaction is rolled back, all ids of the batch are looked up with one statement, and the rest is
  done again. Where one came more may come, so the next LOOK_FIRST_BATCHES batches are looked up before they begin.
- A refusal: undoes what its handler wrote, if it wrote anything. That needs a savepoint. The first time that a handler
  refuses after it wrote, the transaction is rolled back and done again; from then on its calls have savepoints.
- A refusal with 429 is not final: the same message that comes again is carried out again.
- An error: what comes before it is committed, it is tried again on its own, and the rest is a batch again. So the
  order of the calls holds.
- A lock that another transaction keeps: each call is carried out on its own, with a short wait. Those that need the
  lock are postponed, and the others do not wait for it.

A handler with threads of its own (`Service.handles`) is never part of a batch: it computes for long, or calls other
services. A look into the inbox comes first then, and its transaction begins with its first statement. While a service
that it calls is away, its commands are postponed too.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, takewhile
from typing import NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError

from bus import failpoints
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.contract.refusals import Refusal, Refused
from bus.database import outbox
from bus.database.engine import Database, Transaction
from bus.database.inbox import TOO_MANY_REQUESTS, AlreadyDone, forget_unfinal, look_up_all, record
from bus.database.steps import Steps
from bus.database.trouble import DatabaseBusy, DatabaseUnavailable, trouble_of
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.service.handler import Handler
from bus.service.nested_calls import NestedCalls
from bus.worker.handler_runs import CALLED_AWAY, HandlerFailed, Handlers, groups_of, is_answer, is_away, refused, run

# A fault is often a deadlock or a conflict that is gone at the next try. More tries come later, from a retry queue.
QUICK_TRIES = 3
LONGEST_PAUSE_SECONDS = 0.1
# How long a command waits for another transaction, once it or its batch has waited in vain.
SHORT_LOCK_SECONDS = 0.2
# After a duplicate. A look costs a batch of creates about a twentieth of its time, a batch done twice all of it.
LOOK_FIRST_BATCHES = 100

OnEvents = Callable[[], None]

log = structlog.get_logger("bus.worker")


class Postponed(NamedTuple):
    """A command that needs what another transaction holds, or, with the code CALLED_AWAY, a service that is away.

    Nothing has happened; it is to be tried again later.
    """

    sentence: str
    code: str = "database-busy"


class _RefusedTooLate(Exception):
    """A handler refused a call after it wrote without a savepoint. Done again, its calls have savepoints."""


class Executor:
    """Carries out the commands or events of one service; `on_events` is called when events were committed.

    `nested` calls other services for its handlers. Several threads may use one.
    """

    def __init__(
        self,
        handlers: Handlers,
        database: Database,
        *,
        nested: NestedCalls | None = None,
        on_events: OnEvents = lambda: None,
    ) -> None:
        self._handlers, self._database, self._nested, self._on_events = handlers, database, nested, on_events
        self._look_first = 0
        self._refused_late: set[str] = set()

    def execute(
        self, calls: Sequence[Call], lock_seconds: float | None = None
    ) -> list[EncodedReply | HandlerFailed | Postponed]:
        """The replies to commands, transient ones among them.

        With `lock_seconds` each is carried out on its own, and waits no longer than that for another transaction.
        Raises DatabaseUnavailable; what was not committed then has not happened.
        """
        if lock_seconds is not None or any(self._handlers[call.operation.operation_name].threads for call in calls):
            return [self._or_postponed(call, lock_seconds) for call in calls]
        firsts, repeats = _split(calls) if len(calls) > 1 else (calls, ())
        replies: list[EncodedReply | HandlerFailed | Postponed] = []
        try:
            replies += self._together(firsts)
            if len(replies) < len(firsts):
                for reply in self._from_failing(firsts[len(replies) :]):
                    replies.append(reply)  # kept, should a later one raise
        except DatabaseBusy:
            replies += [self._or_postponed(call, SHORT_LOCK_SECONDS) for call in firsts[len(replies) :]]
        if not repeats:
            return replies
        # A reply to a repeat is read from the inbox; one whose first failed is carried out now.
        self._look_first = LOOK_FIRST_BATCHES
        in_turn, again = iter(replies), iter(self.execute(repeats))
        is_repeat = {id(call) for call in repeats}
        return [next(again if id(call) in is_repeat else in_turn) for call in calls]

    def execute_in_order(self, calls: Sequence[Call]) -> list[EncodedReply | HandlerFailed]:
        """The same for events: ends with the first whose handler failed, or before one that is in it twice.

        None is postponed, as that would change their order. Raises DatabaseUnavailable, and DatabaseBusy.
        """
        firsts, repeats = _split(calls)
        if repeats:
            firsts = calls[: next(place for place, call in enumerate(calls) if call is repeats[0])]
        replies = self._together(firsts)
        for reply in self._from_failing(firsts[len(replies) :]):
            replies.append(reply)
            if isinstance(reply, HandlerFailed):
                break
        return replies

    def _from_failing(self, calls: Sequence[Call]) -> Iterator[EncodedReply | HandlerFailed]:
        """Replies in the order of the calls; the first of them failed together with others."""
        while calls:
            yield self._alone(calls[0])
            done = self._together(calls[1:]) if len(calls) > 1 else []
            yield from done
            calls = calls[1 + len(done) :]

    def _together(self, calls: Sequence[Call]) -> list[EncodedReply | HandlerFailed]:
        """The replies to as many calls, from the first on, as one transaction could carry out."""
        look, with_savepoints = self._look_first > 0, False
        self._look_first = max(0, self._look_first - 1)
        for _ in range(QUICK_TRIES + len(self._handlers)):
            stored = self._look_up(calls) if look else [None] * len(calls)
            new = [call for call, reply in zip(calls, stored, strict=True) if reply is None]
            if len(new) < len(calls):
                self._look_first = LOOK_FIRST_BATCHES
            try:
                done = iter(self._transact(new, with_savepoints=with_savepoints) if new else ())
                found = (reply or next(done, None) for reply in stored)
                return list(takewhile(bool, found))  # type: ignore[arg-type]  # none is None
            except AlreadyDone:
                look, self._look_first = True, LOOK_FIRST_BATCHES
            except _RefusedTooLate as refused:
                self._refused_late.add(str(refused))
            except DatabaseBusy as busy:
                if not busy.is_conflict:
                    raise
            except DatabaseUnavailable:
                raise
            except Exception as error:  # any handler's
                log.debug("batch_rolled_back", size=len(calls), reason=type(error).__name__)
                if with_savepoints or len(calls) == 1:
                    break
                with_savepoints = True
        return []

    def _transact(
        self, calls: Sequence[Call], *, with_savepoints: bool = False, lock_seconds: float | None = None
    ) -> list[EncodedReply]:
        """Carry out calls in one transaction. `with_savepoints`: ends before the first that failed.

        Raises AlreadyDone, _RefusedTooLate, DatabaseUnavailable and, without savepoints, what a handler raises.
        """
        replies: list[EncodedReply] = []
        with self._database.transaction(lock_seconds) as transaction:
            steps = Steps(transaction) if len(calls) > 1 else None
            for handler, group in groups_of(calls, self._handlers, one_by_one=with_savepoints):
                done = self._step(handler, group, transaction, steps, with_savepoints=with_savepoints)
                if done is None:
                    break
                replies += done
            record(transaction.connection, zip(calls, replies, strict=False))
            if transaction.outgoing:
                outbox.write(transaction.connection, transaction.outgoing)
            if failpoints.armed:
                failpoints.reach("worker.before-commit")
        if transaction.outgoing:
            self._on_events()
        return replies

    def _step(
        self,
        handler: Handler,
        group: Sequence[Call],
        transaction: Transaction,
        steps: Steps | None,
        *,
        with_savepoints: bool,
    ) -> list[EncodedReply] | None:
        """One run of a handler; None when it failed and was undone. `steps` is None if it has the transaction alone."""
        name = group[0].operation.operation_name
        if steps is not None:
            steps.begin(undoable=with_savepoints or name in self._refused_late)
        try:
            return run(handler, group, transaction, self._nested)
        except (Refusal, Refused) as refusal:
            if len(group) > 1 or not is_answer(refusal):  # it does not say which it refuses
                raise
            if isinstance(refusal, Refusal) and refusal.keeps_changes:
                return [refused(refusal, group[0])]
            if steps is None:
                _undo_all(transaction)
            elif not steps.undo():
                raise _RefusedTooLate(name) from None
            return [refused(refusal, group[0])]
        except Exception as error:
            if steps is None or not with_savepoints or _is_lost(error) or not steps.undo():
                raise
            return None

    def _or_postponed(self, call: Call, lock_seconds: float | None) -> EncodedReply | HandlerFailed | Postponed:
        try:
            return self._alone(call, lock_seconds)
        except DatabaseBusy as busy:
            return Postponed(busy.sentence)
        except (Unavailable, ReplyTimeout) as away:
            return Postponed(str(away), CALLED_AWAY)

    def _alone(self, call: Call, lock_seconds: float | None = None) -> EncodedReply | HandlerFailed:
        """Raises DatabaseUnavailable, DatabaseBusy, and what `_is_away` names while a service that it calls is away."""
        for tries_left in reversed(range(QUICK_TRIES)):
            try:
                (stored,) = self._look_up([call])
                return stored or self._transact([call], lock_seconds=lock_seconds)[0]
            except AlreadyDone:
                continue  # another worker was faster; its reply is in the inbox now
            except DatabaseBusy as busy:
                if not busy.is_conflict or not tries_left:
                    raise
                time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
            except DatabaseUnavailable:
                raise
            except Exception as error:  # the handler's, whatever it is
                if is_away(error, self._handlers[call.operation.operation_name]):
                    raise
                if not tries_left or time.monotonic() > call.until:
                    return HandlerFailed(error, call.operation)
                time.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))
        (stored,) = self._look_up([call])
        return stored or HandlerFailed(AlreadyDone(), call.operation)

    def _look_up(self, calls: Sequence[Call]) -> list[EncodedReply | None]:
        if all(call.message_id is None for call in calls):
            return [None] * len(calls)
        with self._database.reading() as transaction:
            stored = look_up_all(transaction.connection, calls)
        for call, reply in zip(calls, stored, strict=True):
            if reply is not None:
                call.timing.forget()
        # The broker delivers a call again whose caller may have been told to wait, and who has not sent it again yet.
        unfinal = [
            reply is not None and reply.status == TOO_MANY_REQUESTS and not call.came_back
            for call, reply in zip(calls, stored, strict=True)
        ]
        if any(unfinal):
            with self._database.transaction() as transaction:
                forget_unfinal(transaction.connection, compress(calls, unfinal))
        return [None if again else reply for reply, again in zip(stored, unfinal, strict=True)]


def _split(calls: Sequence[Call]) -> tuple[Sequence[Call], Sequence[Call]]:
    """The calls that are the first with their id, and those that repeat an id of an earlier one."""
    keys = [(call.caller.id, call.message_id) for call in calls if call.message_id is not None]
    if len(set(keys)) == len(keys):
        return calls, ()
    seen: set[tuple[str, str]] = set()
    firsts: list[Call] = []
    repeats: list[Call] = []
    for call in calls:
        if call.message_id is None or (call.caller.id, call.message_id) not in seen:
            firsts.append(call)
            seen.add((call.caller.id, call.message_id or ""))
        else:
            repeats.append(call)
    return firsts, repeats


def _undo_all(transaction: Transaction) -> None:
    transaction.outgoing.clear()
    if transaction.opened is not None:
        transaction.opened.rollback()


def _is_lost(error: Exception) -> bool:
    """Whether this says something about the database, and so is not the handler's fault."""
    return isinstance(error, DatabaseUnavailable) or (isinstance(error, DBAPIError) and trouble_of(error) is not None)
