"""Events that are sent again, to the queue of one listener that is new or was repaired."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from bus.contract.operations import Authentication, Query, Reply, TransientCommand
from bus.contract.operator.dead_letters import Word
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal

# Where counting ends; a replay does not.
MAX_EVENTS = 100_000
# Of the name of a queue: a short string in AMQP (AMQP 0-9-1, section 4.2.5.3).
MAX_QUEUE_BYTES = 255
QUEUE_TOO_LONG = f"The name of a queue has at most {MAX_QUEUE_BYTES} bytes."
# Moments that both databases, and drivers in any time zone, can read and write.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

_Moment = Annotated[datetime, Meta(tz=True)]


class NotAListener(Refusal, code="not-a-listener", status=422):
    """This queue of the service is for requests. Events are sent again to the queue of a listener, SERVICE.events."""


class EventFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Events made from `since` on and before `until`, all or those of one `name`. SQLite stores whole seconds."""

    since: _Moment
    until: _Moment | None = None
    name: Word = ""

    def __str__(self) -> str:
        """The command line options that mean the same, to the second."""
        given = {"since": _text(self.since), "until": _text(self.until), "name": self.name}
        return " ".join(f"--{name} {value}" for name, value in given.items() if value)


class EventCount(Reply):
    """How many events match, by their names, and whether there may be more: it counts no further than MAX_EVENTS.

    `until` is that of the filter, or else the moment of the count: a replay with it takes none that came later.
    """

    by_name: Mapping[str, int]
    is_more: bool
    until: datetime

    @property
    def total(self) -> int:
        """All that were counted."""
        return sum(self.by_name.values())


class EventReplayBegun(Reply):
    """The number of the action, whose events SendNext sends."""

    action: int


class CountEvents(Query[EventCount]):
    """How many events of the service a replay would send."""

    authentication: ClassVar[Authentication] = "operator"

    filter: EventFilter

    def violations(self) -> Iterable[FieldError]:
        """A time that ends before it begins, or is out of the range of a database."""
        return _violations(self.filter)


class BeginEventReplay(TransientCommand[EventReplayBegun]):
    """Begin an action that sends events of the service to one queue again, in their order and with their ids.

    Where the queue becomes full, some may come out of their order.
    """

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {NotAListener.code: NotAListener}

    filter: EventFilter
    queue: Annotated[str, Meta(min_length=1, max_length=255)]
    reason: Annotated[str, Meta(max_length=500)] = ""

    def violations(self) -> Iterable[FieldError]:
        """A time as of CountEvents, or a name that no queue can have."""
        yield from _violations(self.filter)
        if len(self.queue.encode()) > MAX_QUEUE_BYTES:
            yield FieldError("/queue", QUEUE_TOO_LONG, "out-of-range")


def _violations(filter_: EventFilter) -> Iterable[FieldError]:
    for name, moment in (("since", filter_.since), ("until", filter_.until)):
        if moment is not None and not EARLIEST <= moment < LATEST:
            yield FieldError(f"/filter/{name}", "This is not between the years 1970 and 9998.", "out-of-range")
    if filter_.until is not None and filter_.until <= filter_.since:
        yield FieldError("/filter/until", "This is not after the beginning of the time.", "out-of-range")


def _text(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else ""
