"""Actions: what operators do with a service, recorded before it begins and as it goes on."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.builtin import MessageId
from bus.contract.fields import MultiLine
from bus.contract.operations import Authentication, Query, Reply, TransientCommand
from bus.contract.operator.dead_letters import MAX_LETTERS, BodyNotAcceptable, LetterActionKind, Number, Word
from bus.contract.refusals import Refusal

# Of one batch that is sent again.
MAX_SENT = 500

# `events` sends events again, `call` is a call of an operation.
ActionKind = Literal[LetterActionKind, "events", "call"]


class UnknownAction(Refusal, code="unknown-action", status=404):
    """There is no such action. `bus dead-letters actions` lists them."""


class ActionBusy(Refusal, code="action-busy", status=409):
    """Another worker sends the messages of this action now, or was lost while it did. Try again in 30 s at most."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator did. `taken` is how many messages it took, `left` how many of them are still to be sent.

    With `is_more`, which only events can have, both may be more: they were not counted to their end. `left` is at least
    1 until the last one is sent. Of a call, `chosen_by` is the operation and the message id.
    """

    id: int
    kind: ActionKind
    made_by: str
    chosen_by: str
    reason: str
    taken: int
    left: int
    is_more: bool = False
    made_at: datetime


class Actions(Reply):
    """Actions, the newest last."""

    actions: Sequence[Action]


class ActionProgress(Reply):
    """How a replay goes: how many messages were `sent`.

    Of letters, `died_again` have become dead letters again, and of the last ones that were sent, at most 1000, `open`
    are neither done nor dead yet. Of events, the last one was made at `reached`.
    """

    action: Action
    sent: int
    died_again: int = 0
    open: int = 0
    reached: datetime | None = None


class CallRecorded(Reply):
    """The number of the action."""

    action: int


class Sent(Reply):
    """How many messages were sent now, and how many are left.

    `why_stopped` says why the broker took no more; with `is_full` a queue or the broker needs time to make room.
    """

    sent: int
    left: int
    why_stopped: str = ""
    is_full: bool = False


class ListActions(Query[Actions]):
    """What operators did; the last `limit` actions."""

    authentication: ClassVar[Authentication] = "operator"

    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = 100


class GetAction(Query[ActionProgress]):
    """How far a replay is, and whether its letters die again."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {UnknownAction.code: UnknownAction}

    action: Number


class SendNext(TransientCommand[Sent]):
    """Send the next messages of a replay again. An edited letter needs its new body again."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {
        each.code: each for each in (UnknownAction, ActionBusy, BodyNotAcceptable)
    }

    action: Number
    limit: Annotated[int, Meta(ge=1, le=MAX_SENT)] = MAX_SENT
    body: Annotated[str, MultiLine()] | UnsetType = UNSET


class RecordCall(TransientCommand[CallRecorded]):
    """Record that an operator is about to call an operation that changes something, with this message id."""

    authentication: ClassVar[Authentication] = "operator"

    operation: Word
    message_id: MessageId
