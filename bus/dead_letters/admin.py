"""What an operator does with the dead letters of a service, except sending them again (`replay.py`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.dead_letters.actions import Action, Kind, actions, begin
from bus.dead_letters.body import Operations
from bus.dead_letters.queries import (
    DeadLetterFilter,
    DeadLetterGroup,
    each,
    grouped,
    newest,
)
from bus.dead_letters.store import DeadLetter, DeadLetterSummary


@dataclass(frozen=True)
class DeadLetterAdmin:
    """Reads the dead letters of one service and begins actions on them.

    `operations` are those of the service, by name. `operator` is recorded with each action. Every method raises
    DatabaseUnavailable.
    """

    operations: Operations
    database: Database
    operator: str

    def groups(self, letter_filter: DeadLetterFilter, limit: int) -> list[DeadLetterGroup]:
        """The matching dead letters counted by operation and cause; at most `limit` groups, the latest last."""
        with self.database.reading() as transaction:
            return grouped(transaction.connection, letter_filter, limit)

    def letters(self, letter_filter: DeadLetterFilter, limit: int) -> list[DeadLetterSummary]:
        """The matching dead letters, at most `limit`, in the order they arrived."""
        with self.database.reading() as transaction:
            return each(transaction.connection, letter_filter, limit)

    def letter(self, which: str) -> DeadLetter | None:
        """The newest dead letter with this message id, letter id or number."""
        with self.database.reading() as transaction:
            return newest(transaction.connection, which)

    def actions(self, limit: int) -> list[Action]:
        """The latest actions, at most `limit`, the latest last."""
        with self.database.reading() as transaction:
            return actions(transaction.connection, limit)

    def action(self, action_id: int) -> Action | None:
        """The action with this number."""
        with self.database.reading() as transaction:
            found = actions(transaction.connection, 1, action_id)
        return found[0] if found else None

    def begin(self, kind: Kind, letter_filter: DeadLetterFilter, letters: Sequence[DeadLetterSummary]) -> int:
        """Begin an action on exactly these dead letters; returns the number of the action.

        `letter_filter` is recorded as the reason for choosing them. A letter whose state has changed since it was
        read is left out.
        """
        seen = [(letter.id, letter.state) for letter in letters]
        with self.database.transaction() as transaction:
            return begin(transaction.connection, kind, self.operator, str(letter_filter), seen)

    def sealed(self, operation: type[Operation[Any]], body: bytes) -> bytes:
        """A valid body with its secrets sealed to the key of the service, as a client would send it."""
        # Imported here: to list dead letters, nobody should wait for a library of cryptography.
        from bus.security.key_store import given_out
        from bus.security.sealer import Sealer

        def sealing_key(service: str, _deadline: float) -> Any:
            with self.database.reading() as transaction:
                return given_out(transaction.connection, service)

        return Sealer(sealing_key).sealed(operation, body, math.inf)
