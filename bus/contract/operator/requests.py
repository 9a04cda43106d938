"""What operators may ask of one request: its failed tries, its answer, what it emitted, and its dead letters."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from bus.contract.builtin import MessageId
from bus.contract.operations import Authentication, Query, Reply

# Of each kind, in one answer.
MAX_KNOWN = 100
# Characters of a stored answer that are shown.
MAX_REPLY = 4000


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A try at which a handler failed. Of an operation with secret fields, `detail` and `traceback` hold no data.

    `caller` is as in the inbox. `number` counts the tries of a delivery, from 1; the next one comes after
    `retry_seconds`, None where there is none. For an event, `operation` is its name.
    """

    message_id: str | None
    caller: str
    operation: str
    number: int
    failed_at: datetime
    worker: str
    error_class: str
    detail: str
    traceback: str
    trace_id: str
    retry_seconds: int | None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was carried out, or refused by its handler, or an event that a listener has handled.

    `reply` is the answer without secrets, or its beginning. The ids of what it has emitted and sent begin with
    `origin`.
    """

    message_id: str
    caller: str
    operation: str
    status: int
    done_at: datetime
    reply: str
    origin: str


class Emission(msgspec.Struct, frozen=True, kw_only=True):
    """An event, or a command that was sent (`SERVICE.send`). `refused_at` is when a full queue first refused it."""

    message_id: str
    name: str
    made_at: datetime
    sent_at: datetime | None
    refused_at: datetime | None
    trace_id: str


class RelatedDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter of a request. For an event, `operation` is its name, and `is_event` is set.

    `taken_by` is the operator whose action took it last, `taken_for` the reason given. `replayed_as` is the message id
    that it was sent again with.
    """

    id: int
    message_id: str | None
    caller: str
    operation: str
    is_event: bool
    reason: str
    detail: str
    error_class: str
    attempts: int
    first_at: datetime
    last_at: datetime
    state: str
    action_id: int | None
    taken_at: datetime | None
    taken_by: str
    taken_for: str
    replayed_as: str | None
    trace_id: str


class KnownOfRequest(Reply):
    """What a service has stored of a request: each kind in the order of time, the newest MAX_KNOWN."""

    completions: Sequence[Completion]
    attempts: Sequence[FailedAttempt]
    letters: Sequence[RelatedDeadLetter]
    emissions: Sequence[Emission]


class GetRequest(Query[KnownOfRequest]):
    """What the service knows of a request or an event.

    `which` is a message id, which is also an idempotency key, or a trace id; with `by` origin, the beginning of the
    ids of what a request has emitted and sent.
    """

    authentication: ClassVar[Authentication] = "operator"

    which: MessageId
    by: Literal["id", "origin"] = "id"
