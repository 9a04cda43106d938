"""FastStream's front end. FastAPI, as `broker.request` needs an event loop that goes on between requests."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from faststream.rabbit import RabbitBroker

SECONDS = 5

broker = RabbitBroker(os.environ["BROKER_URL"], logger=None)


@asynccontextmanager
async def connected(_app: FastAPI) -> AsyncIterator[None]:
    async with broker:
        yield


app = FastAPI(lifespan=connected)


@app.post("/products", status_code=201)
async def create_product(data: dict[str, Any]) -> dict[str, Any]:
    answer = await broker.request(data, queue="products.create", timeout=SECONDS)
    return {"message": "Product created successfully", "product": await answer.decode()}


@app.get("/products/{product_id}")
async def get_product(product_id: int) -> Any:
    answer = await broker.request(product_id, queue="products.get", timeout=SECONDS)
    found = await answer.decode()
    if not found:
        raise HTTPException(404, "Product not found")
    return found
