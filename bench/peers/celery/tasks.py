"""Celery's tasks, for its worker and its front end."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init
from sqlalchemy import create_engine

from bench.peers.products import CLIENTS, inserted, metadata, product, selected

app = Celery("products", broker=os.environ["BROKER_URL"], backend="rpc://")
engine = create_engine(os.environ["DATABASE_URL"], pool_size=CLIENTS)


@worker_init.connect
def create_table(**_: Any) -> None:
    metadata.create_all(engine)


@app.task
def create_product(data: dict[str, Any]) -> dict[str, Any] | None:
    with engine.begin() as connection:
        return product(connection.execute(inserted(data)).one())


@app.task
def get_product(product_id: int) -> dict[str, Any] | None:
    with engine.connect() as connection:
        return product(connection.execute(selected(product_id)).one_or_none())
