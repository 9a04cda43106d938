"""Past events: those that a service can give again from tables of its own, for as long as these reach back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from bus.contract.events import Event


class PastEvent(NamedTuple):
    """An event that was emitted: with the id that `work.emit` returned, and the moment, with a time zone.

    `position` is its place among all past events, from 1, such as the number of its row: it grows in the order in which
    they were emitted.
    """

    position: int
    event: Event
    message_id: str
    made_at: datetime


class ReadsPast(Protocol):
    """A function that gives the next past events, at most `most`, in the order of their positions.

    Their positions are greater than `after`, and they were made at `since` or later. `connection` is for reads.
    """

    def __call__(self, connection: Connection, since: datetime, after: int, most: int, /) -> Sequence[PastEvent]: ...


@dataclass(frozen=True)
class PastEvents:
    """The function, and the `names` of the events that it gives."""

    names: frozenset[str]
    function: ReadsPast
