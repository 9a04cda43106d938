"""The operations with which an operator looks at a service and acts on it. Every service has them.

Only an operator may call them: the holder of the installation's operator token, see `bus.security.operators`. The
console and the command line use them, so neither needs a database.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.builtin import MessageId, builtin_operation
from bus.contract.fields import MultiLine
from bus.contract.operations import Authentication, Operation, Query, Reply, TransientCommand
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal
from bus.contract.request_history import FailedAttempt, GetRequest

# Of one page of a list, and of one batch that is sent again.
MAX_LISTED, MAX_SENT = 500, 500
# Letters that one action takes; more need several actions.
MAX_LETTERS = 100_000
# Where a state stops counting: more rows would only burden a database that is behind already.
MOST_COUNTED = 10_000
# The end of the name of the query that the console asks every second.
GET_STATE = ".get_state"
# No table has more rows.
_MOST = 2**62

DeadLetterState = Literal["", "dead", "chosen", "replayed", "discarded"]
# What is done with dead letters, and everything that is recorded of an operator.
LetterActionKind = Literal["replay", "edit", "discard"]
ActionKind = Literal[LetterActionKind, "call"]

_Word = Annotated[str, Meta(max_length=255)]
_Number = Annotated[int, Meta(ge=0, le=_MOST)]


class UnknownDeadLetter(Refusal, code="unknown-dead-letter", status=404):
    """There is no such dead letter. `bus dead-letters list` lists them."""


class UnknownAction(Refusal, code="unknown-action", status=404):
    """There is no such replay. `bus dead-letters actions` lists them."""


class ActionBusy(Refusal, code="action-busy", status=409):
    """Another worker sends the letters of this action now, or was lost while it did. Try again in 30 s at most."""


class BodyNotAcceptable(Refusal, code="body-not-acceptable", status=422):
    """The new body cannot be sent. The detail says why."""


class GroupName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the letters of a group have in common; here an empty text is that text."""

    operation: _Word
    reason: _Word
    error_class: _Word


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Letters that match every field given; an empty field matches all.

    `error` is a reason or the class of an error. `which` is a message id, a letter's number or its letter id, `ids` are
    numbers. `since` is compared with the letter's last death. `action` is the number of the action that took the letter
    last. `up_to` is the highest number of a letter: later ones do not match. `group` is exactly one group.
    """

    operation: _Word = ""
    error: _Word = ""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    which: _Word = ""
    state: DeadLetterState = ""
    action: _Number = 0
    ids: Annotated[Sequence[_Number], Meta(max_length=MAX_LISTED)] = ()
    up_to: _Number = 0
    group: GroupName | None = None

    @property
    def is_everything(self) -> bool:
        """Whether neither an operation, an error, a time, an id nor a group is given."""
        return not (self.operation or self.error or self.since or self.which or self.ids or self.group)

    def __str__(self) -> str:
        """The command line options that mean the same; a group has none, and is named."""
        given = {"operation": self.operation, "error": self.error, "since": self.since, "id": self.which}
        words = [f"--{name} {value}" for name, value in given.items() if value]
        words += [f"--id {number}" for number in self.ids]
        if self.group:
            words.append(f"group of {', '.join(filter(None, msgspec.structs.astuple(self.group)))}")
        return " ".join(words) or "--all"


class OriginalProperties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Properties of the original message, cleaned, for a person to see.

    `caller` is the account that a worker had verified, as `bus.security.vouching` writes it.
    """

    message_id: str = ""
    correlation_id: str = ""
    content_type: str = ""
    content_encoding: str = ""
    reply_to: str = ""
    traceparent: str = ""
    tracestate: str = ""
    caller: str = ""


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a letter that fit in a line. Times are in UTC.

    `operation` is empty when its origin is no operation of the service; of an event it is the event's name.
    `message_id` is None unless it is a legal one. `whole`: the body is as it came, so that it can be sent again.
    Columns with a default are the database's, and those of a letter that is stored for the first time.
    """

    id: int = 0
    letter_id: str
    operation: str
    origin_queue: str
    reason: str
    error_class: str
    attempts: int
    first_at: datetime
    last_at: datetime
    message_id: str | None
    whole: bool
    state: str = "dead"
    action_id: int | None = None


class ListedDeadLetter(DeadLetterSummary, frozen=True, kw_only=True):
    """A letter in a list. `why_not` says why it cannot be sent again with its own body; empty when it can."""

    why_not: str


class DeadLetterList(Reply):
    """A page of letters. `matching` is how many the filter matches, if that was asked for, `replayable` how many of
    them can be sent again, and `newest` the highest number among them."""

    letters: Sequence[ListedDeadLetter]
    matching: int | UnsetType = UNSET
    replayable: int | UnsetType = UNSET
    newest: int | UnsetType = UNSET


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one operation with the same cause."""

    operation: str
    reason: str
    error_class: str
    count: int
    first_at: datetime
    last_at: datetime


class DeadLetterGroups(Reply):
    """The letters counted by operation and cause, the latest group last."""

    groups: Sequence[DeadLetterGroup]


class DeadLetterInFull(Reply):
    """A letter with everything in it. Bytes of the body that are not UTF-8 are escaped, as `\\xff`.

    `attempts` are those of its tries at which a handler failed, as far as they are still stored, the oldest first.
    """

    letter: ListedDeadLetter
    detail: str
    traceback: str
    properties: OriginalProperties
    body: str
    handled_at: datetime | None
    replayed_as: str | None
    attempts: Sequence[FailedAttempt] = ()


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator did. `letters` is how many it took, `left` how many of them are still to be sent.

    Of a call, `chosen_by` is the operation and the message id.
    """

    id: int
    kind: ActionKind
    made_by: str
    chosen_by: str
    reason: str
    letters: int
    left: int
    made_at: datetime


class Actions(Reply):
    """Actions, the newest last."""

    actions: Sequence[Action]


class ActionProgress(Reply):
    """How a replay goes. Of the letters that were sent, `died_again` have become dead letters again, and of the
    last ones that were sent, at most 1000, `open` are neither done nor dead yet."""

    action: Action
    died_again: int
    open: int


class CallRecorded(Reply):
    """The number of the action."""

    action: int


class DeadLettersTaken(Reply):
    """The number of the new action, None if it found no letter to take, how many letters it took, and how many it left
    because they cannot be sent again."""

    action: int | None
    letters: int
    skipped: int


class DeadLettersSent(Reply):
    """How many letters were sent now, and how many are left.

    `why_stopped` says why the broker took no more; with `is_full` a queue needs time to make room.
    """

    sent: int
    left: int
    why_stopped: str = ""
    is_full: bool = False


class QueueInState(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of the service. `bound` is its greatest length in messages, 0 for unlimited."""

    name: str
    kind: str
    bound: int


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker has written of itself. `why_not_ready` is empty while it handles messages.

    `handled` counts messages since its start. `batch` is the mean size of its last batches; the handler times are those
    of its last messages, None without any. `unacknowledged` are open messages by queue, some seconds old.
    """

    id: str
    host: str
    pid: int
    version: str
    since: datetime
    why_not_ready: str
    handled: int
    failed: int
    batch: float
    handler_ms_p50: float | None
    handler_ms_p99: float | None
    unacknowledged: Mapping[str, int]


class SeenWorker(WorkerState, frozen=True, kw_only=True):
    """A worker, and whether it is lost: it has neither stopped in order nor written anything for some seconds."""

    seen_seconds_ago: float
    is_lost: bool


class ServiceState(Reply):
    """A service as the database sees it. `commands_wait` says why no command can be carried out now.

    `outbox_*` are of committed events that the broker has not taken, or that a full queue has refused, `dead_letters`
    those that wait for an operator. A count above MOST_COUNTED says only that there are more.
    """

    service: str
    database: str
    commands_wait: str
    outbox_waiting: int
    outbox_refused: int
    outbox_oldest_seconds: float
    dead_letters: int
    workers: Sequence[SeenWorker]
    queues: Sequence[QueueInState]


class GetState(Query[ServiceState]):
    """The state of the service: its workers, queues, outbox, database and dead letters."""

    authentication: ClassVar[Authentication] = "operator"


class ListDeadLetters(Query[DeadLetterList]):
    """Dead letters one by one, in the order they arrived, or the newest first.

    `after` is the number of the last letter of the page before. With `counted` the whole list is counted too.
    """

    authentication: ClassVar[Authentication] = "operator"

    filter: DeadLetterFilter = DeadLetterFilter()
    after: _Number = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED)] = 100
    newest_first: bool = False
    counted: bool = False


class GroupDeadLetters(Query[DeadLetterGroups]):
    """Dead letters counted by operation and cause."""

    authentication: ClassVar[Authentication] = "operator"

    filter: DeadLetterFilter = DeadLetterFilter()
    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = 100


class GetDeadLetter(Query[DeadLetterInFull]):
    """The newest dead letter with this number, letter id or message id."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {UnknownDeadLetter.code: UnknownDeadLetter}

    which: _Word


class ListDeadLetterActions(Query[Actions]):
    """What operators did; the last `limit` actions."""

    authentication: ClassVar[Authentication] = "operator"

    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = 100


class GetDeadLetterAction(Query[ActionProgress]):
    """How far a replay is, and whether its letters die again."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {UnknownAction.code: UnknownAction}

    action: _Number


class TakeDeadLetters(TransientCommand[DeadLettersTaken]):
    """Begin an action with the letters that match the filter, in the state that it names, or else `dead`.

    A discard is done with that. The letters of a replay, and the one of an `edit`, which has another `body`, wait to be
    sent. What cannot be sent again is left as it is.
    """

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {BodyNotAcceptable.code: BodyNotAcceptable}

    kind: LetterActionKind
    filter: DeadLetterFilter
    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = MAX_LETTERS
    reason: Annotated[str, Meta(max_length=500)] = ""
    body: Annotated[str, MultiLine()] | UnsetType = UNSET

    def violations(self) -> Iterable[FieldError]:
        """A state whose letters are handled already, or belong to another action."""
        if self.filter.state in ("", "dead") or (self.kind, self.filter.state) == ("discard", "chosen"):
            return
        states = "dead or chosen" if self.kind == "discard" else "dead"
        yield FieldError("/filter/state", f"A {self.kind} takes letters that are {states}.", "wrong-state")


class SendDeadLetters(TransientCommand[DeadLettersSent]):
    """Send the next letters of an action to their operations again. An edited one needs its new body again."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {
        each.code: each for each in (UnknownAction, ActionBusy, BodyNotAcceptable)
    }

    action: _Number
    limit: Annotated[int, Meta(ge=1, le=MAX_SENT)] = MAX_SENT
    body: Annotated[str, MultiLine()] | UnsetType = UNSET


class RecordCall(TransientCommand[CallRecorded]):
    """Record that an operator is about to call an operation that changes something, with this message id."""

    authentication: ClassVar[Authentication] = "operator"

    operation: _Word
    message_id: MessageId


_VERBS: Mapping[type[Operation[Any]], str] = {
    GetState: "get_state",
    ListDeadLetters: "list_dead_letters",
    GroupDeadLetters: "group_dead_letters",
    GetDeadLetter: "get_dead_letter",
    GetRequest: "get_request",
    ListDeadLetterActions: "list_dead_letter_actions",
    GetDeadLetterAction: "get_dead_letter_action",
    TakeDeadLetters: "take_dead_letters",
    SendDeadLetters: "send_dead_letters",
    RecordCall: "record_call",
}


@cache
def operator_operations(service: str) -> Mapping[type[Operation[Any]], type[Operation[Any]]]:
    """The operator's operations of one service, by the classes above."""
    return {declared: builtin_operation(service, verb, declared) for declared, verb in _VERBS.items()}
