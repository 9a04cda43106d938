"""The tutorial's front end."""

import os

import requests
from flask import Flask, Response, jsonify, request
from requests.adapters import HTTPAdapter

SECONDS = 5
PRODUCTS_URL = os.environ["PRODUCTS_URL"]

app = Flask(__name__)


def keep_alive_session() -> requests.Session:
    """A session with room for every thread; requests would keep ten connections."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=64))
    return session


http = keep_alive_session() if os.environ["KEEP_ALIVE"] == "1" else requests


@app.post("/products")
def create_product() -> tuple[Response, int]:
    answer = http.post(f"{PRODUCTS_URL}/products", json=request.get_json(), timeout=SECONDS)
    return jsonify(answer.json()), answer.status_code


@app.get("/products/<int:product_id>")
def get_product(product_id: int) -> tuple[Response, int]:
    answer = http.get(f"{PRODUCTS_URL}/products/{product_id}", timeout=SECONDS)
    return jsonify(answer.json()), answer.status_code
