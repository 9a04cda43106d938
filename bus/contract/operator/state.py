"""The state of a service: its workers, queues, outbox and dead letters."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from bus.contract.operations import Authentication, Query, Reply

# Where a state stops counting: more rows would only burden a database that is behind already.
MOST_COUNTED = 10_000
# The end of the name of the query that the console asks every second.
GET_STATE = ".get_state"


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
