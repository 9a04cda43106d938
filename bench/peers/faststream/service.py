"""FastStream's product service, for `faststream run`."""

import os
from typing import Any

from faststream import FastStream
from faststream.rabbit import RabbitBroker
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.products import CLIENTS, inserted, metadata, product, selected


class NewProduct(BaseModel):
    name: str
    price: float
    quantity: int


# Without its log line for each message, as the others have none.
broker = RabbitBroker(os.environ["BROKER_URL"], logger=None)
app = FastStream(broker)
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=CLIENTS)


@app.on_startup
async def create_table() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


@broker.subscriber("products.create")
async def create_product(data: NewProduct) -> dict[str, Any] | None:
    async with engine.begin() as connection:
        return product((await connection.execute(inserted(data.model_dump()))).one())


@broker.subscriber("products.get")
async def get_product(product_id: int) -> dict[str, Any] | None:
    async with engine.connect() as connection:
        return product((await connection.execute(selected(product_id))).one_or_none())
