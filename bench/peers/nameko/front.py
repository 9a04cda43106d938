"""nameko's front end. A proxy serves one thread, so each has its own, which stays connected."""

import os
import threading
from typing import Any

from flask import Flask, Response, jsonify, request
from nameko.standalone.rpc import ClusterRpcProxy

SECONDS = 5

app = Flask(__name__)
of_thread = threading.local()


def service() -> Any:
    if not hasattr(of_thread, "rpc"):
        of_thread.rpc = ClusterRpcProxy({"AMQP_URI": os.environ["BROKER_URL"]}, timeout=SECONDS).start()
    return of_thread.rpc.products


@app.post("/products")
def create_product() -> tuple[Response, int]:
    return jsonify({"message": "Product created successfully", "product": service().create(request.get_json())}), 201


@app.get("/products/<int:product_id>")
def get_product(product_id: int) -> tuple[Response, int]:
    found = service().get(product_id)
    return (jsonify(found), 200) if found else (jsonify({"error": "Product not found"}), 404)
