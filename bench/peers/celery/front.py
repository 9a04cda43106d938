"""Celery's front end."""

from flask import Flask, Response, jsonify, request

from bench.peers.celery import tasks

SECONDS = 5

app = Flask(__name__)


@app.post("/products")
def create_product() -> tuple[Response, int]:
    created = tasks.create_product.delay(request.get_json()).get(timeout=SECONDS)
    return jsonify({"message": "Product created successfully", "product": created}), 201


@app.get("/products/<int:product_id>")
def get_product(product_id: int) -> tuple[Response, int]:
    found = tasks.get_product.delay(product_id).get(timeout=SECONDS)
    return (jsonify(found), 200) if found else (jsonify({"error": "Product not found"}), 404)
