"""Counting: what became of a load, in the database and in the dead letters."""

from collections.abc import Collection

from faults.census import Census, dead_letters
from faults.load import Load
from faults.system import System
from faults.tally import Tally


def count(tally: Tally, system: System, *loads: Load, guilty: Collection[str] = ()) -> None:
    """Add loads that have ended, and every dead letter that is not one of the `guilty` message ids."""
    census = Census(system.database_url)
    for load in loads:
        load.add_to(tally, census)
    count_dead(tally, system, guilty)


def count_dead(tally: Tally, system: System, guilty: Collection[str] = ()) -> None:
    """Add dead letters of the innocent to what was not expected."""
    innocent = [letter for letter in dead(system) if letter not in guilty]
    tally.unexpected += len(innocent)
    if innocent:
        tally.note(f"{len(innocent)} innocent dead letters: {', '.join(innocent[:5])}")


def dead(system: System) -> list[str]:
    """The message ids of all dead letters, in the database and on their way there."""
    return dead_letters(system.database_url) + system.queues.message_ids(f"{system.service}.dead")
