"""The tutorial's product service."""

import os
from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy import Column, Integer, MetaData, Numeric, Row, Table, Text, create_engine

app = Flask(__name__)
# As many connections as requests come at once: no request waits for one, and none is opened under way.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=16)
metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price", Numeric(12, 2), nullable=False),
    Column("quantity", Integer, nullable=False),
)
metadata.create_all(engine)


@app.post("/products")
def create_product() -> tuple[Response, int]:
    data = request.get_json()
    if not all(field in data for field in ("name", "price", "quantity")):
        return jsonify({"error": "Missing required fields"}), 400
    values = {"name": data["name"], "price": data["price"], "quantity": data["quantity"]}
    with engine.begin() as connection:
        row = connection.execute(products.insert().values(values).returning(products)).one()
    return jsonify({"message": "Product created successfully", "product": product(row)}), 201


@app.get("/products/<int:product_id>")
def get_product(product_id: int) -> tuple[Response, int]:
    with engine.connect() as connection:
        row = connection.execute(products.select().where(products.c.id == product_id)).one_or_none()
    if row is None:
        return jsonify({"error": "Product not found"}), 404
    return jsonify(product(row)), 200


def product(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "price": float(row.price), "quantity": row.quantity}
