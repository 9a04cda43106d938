"""nameko's product service, for `nameko run`."""

import os
from typing import Any

from nameko.extensions import DependencyProvider
from nameko.rpc import rpc
from sqlalchemy import Engine, create_engine

from bench.peers.products import CLIENTS, inserted, metadata, product, selected


class Database(DependencyProvider):
    """An engine for the calls of a service."""

    def setup(self) -> None:
        self.engine = create_engine(os.environ["DATABASE_URL"], pool_size=CLIENTS)
        metadata.create_all(self.engine)

    def get_dependency(self, _worker_ctx: Any) -> Engine:
        return self.engine


class ProductService:
    """What the front end calls."""

    name = "products"
    database = Database()

    @rpc
    def create(self, data: dict[str, Any]) -> dict[str, Any] | None:
        with self.database.begin() as connection:
            return product(connection.execute(inserted(data)).one())

    @rpc
    def get(self, product_id: int) -> dict[str, Any] | None:
        with self.database.connect() as connection:
            return product(connection.execute(selected(product_id)).one_or_none())
