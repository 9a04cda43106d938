"""The handlers of the catalog: no HTTP, no AMQP, no commit.

A feature is one file here, of the same name as in `catalog/contract/`; its rules are in `catalog/domain/`, what several
features share is in `catalog/storage/`. Its functions register themselves at the service in `service.py` when the file
is imported, so import each new file below.
"""

from catalog.handlers import (  # in the order of the contract  # isort: skip
    products,
    lists,
    deletion,
    history,
    stock,
    reservations,
    batches,
)
from catalog.handlers.service import catalog

__all__ = ["batches", "catalog", "deletion", "history", "lists", "products", "reservations", "stock"]
