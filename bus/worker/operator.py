"""What a worker answers to operators: the state of its service, what it knows of a request, and what they do with its
dead letters and events."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog
from msgspec import UNSET, UnsetType, structs
from sqlalchemy import ColumnElement, true

from bus.contract.codec import encode, parse
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.operator.actions import (
    ActionProgress,
    Actions,
    CallRecorded,
    GetAction,
    ListActions,
    RecordCall,
    SendNext,
    Sent,
)
from bus.contract.operator.dead_letters import (
    DEAD,
    BodyNotAcceptable,
    DeadLetterGroups,
    DeadLetterInFull,
    DeadLetterList,
    DeadLettersTaken,
    DeadLetterSummary,
    GetDeadLetter,
    GroupDeadLetters,
    ListDeadLetters,
    ListedDeadLetter,
    TakeDeadLetters,
    UnknownDeadLetter,
)
from bus.contract.operator.events import BeginEventReplay, CountEvents, EventCount, EventReplayBegun, NotAListener
from bus.contract.operator.operations import operator_operations
from bus.contract.operator.requests import GetRequest, KnownOfRequest
from bus.contract.operator.state import GetState, QueueInState, ServiceState
from bus.contract.problems import Invalid
from bus.contract.validation import accept
from bus.database import event_replays
from bus.database.actions import action_with, actions, kind_of, record
from bus.database.engine import Database
from bus.dead_letters import queries, replay
from bus.dead_letters.body import is_sealed
from bus.dead_letters.taking import take
from bus.messaging.message import JSON, MAX_BODY_BYTES, check_body
from bus.messaging.publishing import publish_all
from bus.messaging.topology import Limits
from bus.messaging.transport import Transport
from bus.service.handler import Handler
from bus.service.service import Service
from bus.service.work import Work
from bus.worker.background.gauges import waiting_in
from bus.worker.background.heartbeat import workers_seen
from bus.worker.request_history import attempts_of, known_of

CONFIRM_SECONDS = 5.0

log = structlog.get_logger("bus.worker")


class OperatorHandlers:
    """The handlers of the operator's operations of one service.

    `commands_wait` says why no command can be carried out now; empty when they can.
    """

    def __init__(
        self,
        service: Service,
        database: Database,
        transport: Transport,
        limits: Limits,
        commands_wait: Callable[[], str],
    ) -> None:
        self._service, self._operations = service, service.operations
        self._database, self._transport, self._commands_wait = database, transport, commands_wait
        self._queues = [
            QueueInState(name=queue.name, kind=queue.kind, bound=queue.bound) for queue in service.queues(limits)
        ]

    @property
    def by_queue(self) -> dict[str, Handler]:
        """The handlers, by the names of their queues."""
        functions: Mapping[type[Operation[Any]], Callable[[Any, Work], Any]] = {
            GetState: self._state,
            ListDeadLetters: self._list,
            GroupDeadLetters: self._group,
            GetDeadLetter: self._letter,
            GetRequest: self._request,
            TakeDeadLetters: self._take,
            CountEvents: self._count_events,
            BeginEventReplay: self._begin_event_replay,
            ListActions: self._list_actions,
            GetAction: self._progress,
            SendNext: self._send,
            RecordCall: self._record,
        }
        # With threads of its own, each has its transaction for itself, and opens it only when it needs it.
        return {
            operation.operation_name: Handler(self._service.name, operation, functions[declared], threads=1)
            for declared, operation in operator_operations(self._service.name).items()
        }

    def _state(self, _request: GetState, work: Work) -> ServiceState:
        counts = waiting_in(work.connection)
        return ServiceState(
            service=self._service.name,
            database=work.connection.dialect.name,
            commands_wait=self._commands_wait(),
            outbox_waiting=counts.unsent,
            outbox_refused=counts.refused,
            outbox_oldest_seconds=counts.oldest_seconds,
            dead_letters=counts.dead_letters,
            workers=workers_seen(work.connection),
            queues=self._queues,
        )

    def _list(self, request: ListDeadLetters, work: Work) -> DeadLetterList:
        found = queries.each(
            work.connection, request.filter, request.limit, after=request.after, newest_first=request.newest_first
        )
        listed = [self._listed(letter) for letter in found]
        if not request.counted:
            return DeadLetterList(letters=listed)
        matching, replayable, newest = queries.counted(work.connection, request.filter, self._operations)
        return DeadLetterList(letters=listed, matching=matching, replayable=replayable, newest=newest)

    def _group(self, request: GroupDeadLetters, work: Work) -> DeadLetterGroups:
        return DeadLetterGroups(groups=queries.grouped(work.connection, request.filter, request.limit))

    def _letter(self, request: GetDeadLetter, work: Work) -> DeadLetterInFull:
        letter = queries.newest(work.connection, request.which)
        if letter is None:
            raise UnknownDeadLetter
        return DeadLetterInFull(
            letter=self._listed(letter),
            detail=letter.detail,
            traceback=letter.traceback,
            properties=letter.properties,
            body=letter.body.decode("utf-8", "backslashreplace"),
            handled_at=letter.handled_at,
            replayed_as=letter.replayed_as,
            attempts=attempts_of(work.connection, letter),
        )

    def _request(self, request: GetRequest, work: Work) -> KnownOfRequest:
        return known_of(work.connection, request)

    def _take(self, request: TakeDeadLetters, work: Work) -> DeadLettersTaken:
        connection, chosen = work.connection, structs.replace(request.filter, state=request.filter.state or DEAD)
        may_be_taken: ColumnElement[bool] = true()
        if request.kind != "discard":
            may_be_taken = queries.replayable(self._operations, with_other_body=request.kind == "edit")
        if request.kind == "edit":
            letters = queries.each(connection, chosen, 2)
            if not letters:
                raise BodyNotAcceptable("It is not dead any more: another operator has handled it.")
            if len(letters) > 1:
                raise BodyNotAcceptable("Another body is for one dead letter. Choose one.")
            self._check_body(letters[0], request.body)
        matching, replayable, _ = queries.counted(connection, chosen, self._operations)
        if not matching:
            return DeadLettersTaken(action=None, letters=0, skipped=0)
        skipped = matching - replayable if request.kind == "replay" else 0
        operator = work.caller.id
        action, count = take(connection, request.kind, operator, chosen, may_be_taken, request.limit, request.reason)
        log.info("dead_letters_taken", service=self._service.name, kind=request.kind, operator=operator, count=count)
        return DeadLettersTaken(action=action, letters=count, skipped=skipped)

    def _count_events(self, request: CountEvents, work: Work) -> EventCount:
        with work.reading() as connection:
            return event_replays.counted(connection, request.filter, self._service.past)

    def _begin_event_replay(self, request: BeginEventReplay, work: Work) -> EventReplayBegun:
        if any(queue.name == request.queue and queue.kind != "events" for queue in self._queues):
            raise NotAListener
        with work.reading() as connection:
            count = event_replays.counted(connection, request.filter, self._service.past)
        operator, queue = work.caller.id, request.queue
        action = event_replays.begin(work.connection, operator, request.filter, count, queue, request.reason)
        log.info("event_replay_begun", service=self._service.name, queue=queue, operator=operator, action=action)
        return EventReplayBegun(action=action)

    def _list_actions(self, request: ListActions, work: Work) -> Actions:
        return Actions(actions=actions(work.connection, request.limit))

    def _progress(self, request: GetAction, work: Work) -> ActionProgress:
        action = action_with(work.connection, request.action)
        if action.kind == "events":
            return event_replays.progress_of(work.connection, action)
        return replay.progress_of(work.connection, action)

    def _record(self, request: RecordCall, work: Work) -> CallRecorded:
        made_by, called = work.caller.id, f"{request.operation} {request.message_id}"
        log.info("operator_calls", service=self._service.name, operation=request.operation, operator=made_by)
        return CallRecorded(action=record(work.connection, "call", made_by, called))

    def _send(self, request: SendNext, _work: Work) -> Sent:
        with self._database.reading() as transaction:
            kind = kind_of(transaction.connection, request.action)
            letters = queries.next_chosen(transaction.connection, request.action, 1) if kind == "edit" else ()
        send = partial(publish_all, self._transport, seconds=CONFIRM_SECONDS)
        if request.body is not UNSET and kind != "edit":
            raise BodyNotAcceptable(f"Replay {request.action} sends the stored bodies: give no other body.")
        if kind == "events":
            return event_replays.send_next(self._database, self._service.past, request.action, request.limit, send)
        other_body = self._check_body(letters[0], request.body) if letters else None
        return replay.send_next(self._database, request.action, request.limit, send, other_body)

    def _listed(self, letter: DeadLetterSummary) -> ListedDeadLetter:
        columns = {name: getattr(letter, name) for name in DeadLetterSummary.__struct_fields__}
        return ListedDeadLetter(**columns, why_not=queries.why_not(letter, self._operations))

    def _check_body(self, letter: DeadLetterSummary, body: str | UnsetType) -> bytes:
        """Another body for a letter, valid by its contract; its secrets must be sealed. Raises BodyNotAcceptable."""
        if body is UNSET:
            raise BodyNotAcceptable("This replay sends another body: give it again.")
        if why := queries.why_not(letter, self._operations, has_other_body=True):
            raise BodyNotAcceptable(f"Dead letter {letter.id} cannot be sent with another body: {why}.")
        operation, raw = self._operations[letter.operation], body.encode()
        try:
            check_body(JSON, None, len(raw), MAX_BODY_BYTES)
            fields = parse(raw)
            if not secrets_of(operation):
                return encode(accept(fields, operation))
        except Invalid as invalid:
            raise BodyNotAcceptable(invalid.problem.detail, invalid.problem.errors) from None
        if not is_sealed(fields, operation):
            raise BodyNotAcceptable("Seal its secrets: this service lets no password lie in a queue.")
        return raw
