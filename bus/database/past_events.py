"""Past events: those that a service can give again from tables of its own, for as long as these reach back."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bus.contract.events import Event


class PastEvent(NamedTuple):
    """An event that was emitted: with the id that `work.emit` returned, and the moment, with a time zone."""

    event: Event
    message_id: str
    made_at: datetime


@dataclass(frozen=True)
class PastEvents:
    """A function that gives all past events of these `names`, in the order in which they were emitted.

    It is called with a connection, for reads, and the moment from which on they are asked for.
    """

    names: frozenset[str]
    function: Callable[[Connection, datetime], Iterable[PastEvent]]
