"""Work: what a handler is given besides the request."""

from sqlalchemy import Connection

from bus.database import Transaction


class Work:
    """The open transaction and the caller. Handlers never commit: the worker does, after them."""

    def __init__(self, transaction: Transaction, caller: str) -> None:
        self._transaction = transaction
        self.caller = caller

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, in a transaction that opens with its first use.

        What takes long and needs no database comes before that.
        """
        return self._transaction.connection
