"""`CATALOG_OPEN`: whether everyone may change products, or only accounts with the scope for it."""

import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.access_tokens import Signer
from support.wrong_tokens import Tokens

import catalog.main
import catalog.web
from auth.contract import GetJwks
from bus import Client, Command, JsonWebKeySet, Refused, SigningJwk
from bus.contract.operations import Operation
from bus.security import SigningKey
from bus.testing import RunningServices, running
from catalog.contract import (
    BatchOperation,
    ChangeProducts,
    ChangeStock,
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    GetHistory,
    ListProducts,
    PatchProduct,
    ReleaseReservation,
    ReservationLine,
    ReserveLines,
    ReserveStock,
    RestoreProduct,
    UpdateProduct,
)
from catalog.handlers.service import CatalogSettings
from catalog.handlers.service import catalog as service

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 1}
CREATE = CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3)
# In the order of the contract.
WRITES: Sequence[Command[Any]] = (
    CREATE,
    UpdateProduct(product_id=1, quantity=4),
    PatchProduct(product_id=1, quantity=5),
    DeleteProduct(product_id=1),
    RestoreProduct(product_id=1),
    ChangeStock(product_id=1, change=1, reason="found"),
    ReserveStock(product_id=1, quantity=1),
    ReserveLines(lines=[ReservationLine(product_id=1, quantity=1)]),
    CommitReservation(reservation_id=1),
    ReleaseReservation(reservation_id=2),
    ChangeProducts(operations=[BatchOperation(create=CREATE)]),
)
OPEN = [*(type(each).operation_name for each in WRITES), "catalog.get_history"]
SIGNER, KEY = Signer(), SigningKey.new()
JWK = SigningJwk(kty="OKP", crv="Ed25519", x=KEY.x, kid=KEY.kid)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServices]:
    """The catalog with `CATALOG_OPEN=0`, and a service that gives the keys of tokens."""
    monkeypatch.setattr(service, "settings", CatalogSettings(open=False))
    with running(
        catalog.main.application, fakes={GetJwks: lambda _query: JsonWebKeySet(keys=[SIGNER.jwk, JWK])}
    ) as client:
        yield client


def _answer(client: Client, request: Operation[Any], token: str | None) -> tuple[int, str]:
    try:
        client.call(request, token=token)
    except Refused as refused:
        return refused.problem.status, refused.problem.code
    return request.success_status, ""


def _openings(logs: Sequence[Any]) -> list[list[str]]:
    return [line["operations"] for line in logs if line["event"] == "open_to_everyone"]


def test_every_command_of_the_catalog_is_among_these() -> None:
    commands = [each for each in catalog.main.application.operations if issubclass(each, Command)]
    assert commands == [type(each) for each in WRITES]


def test_it_is_open_at_first_and_says_so_and_reads_no_token() -> None:
    with capture_logs() as logs, running(catalog.main.application) as client:
        http = catalog.web.create_app(client).test_client()
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            assert http.post("/products", json=LAMP, headers=headers).status_code == 201
        assert _answer(client, CREATE, "nonsense") == (201, "")
    ((*names,),) = _openings(logs)
    assert sorted(names) == sorted(OPEN)


def test_where_it_is_closed_strangers_and_other_accounts_may_only_read(closed: RunningServices) -> None:
    http = catalog.web.create_app(closed).test_client()
    refused = http.post("/products", json=LAMP)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="errand"')
    reader = SIGNER.token(scope="admin")
    for request in WRITES:
        assert _answer(closed, request, None) == (401, "token-required")
        assert _answer(closed, request, "nonsense") == (401, "invalid-token")
        assert _answer(closed, request, reader) == (403, "insufficient-scope")
    for options in ({}, {"headers": {"Authorization": "Bearer nonsense"}}):
        assert http.get("/products", **options).json == {"products": [], "next": None}
        assert http.get("/products?include_deleted=false", **options).status_code == 200
    assert closed.call(ListProducts()).products == []


def test_where_it_is_closed_every_token_that_is_wrong_gets_the_same_refusal(closed: RunningServices) -> None:
    """Through the guard of the worker, with the keys that it asks for."""
    tokens = Tokens(KEY, int(time.time()))
    wrong = {name: token for name, token in tokens.wrong().items() if token}
    assert len(wrong) > 50
    answers = {name: _answer(closed, CREATE, token) for name, token in wrong.items()}
    assert {name: answer for name, answer in answers.items() if answer != (401, "invalid-token")} == {}
    assert _answer(closed, CREATE, tokens.good) == (201, "")


@pytest.mark.parametrize("request_", [ListProducts(include_deleted=True), GetHistory(product_id=1)])
def test_where_it_is_closed_deleted_products_and_the_history_need_the_scope(
    closed: RunningServices, request_: Operation[Any]
) -> None:
    assert _answer(closed, request_, None) == (401, "token-required")
    assert _answer(closed, request_, "nonsense") == (401, "invalid-token")
    assert _answer(closed, request_, SIGNER.token(scope="admin")) == (403, "insufficient-scope")
    token = SIGNER.token(scope="catalog:write")
    created = closed.call(CREATE, token=token)
    assert created.product.id == 1
    assert _answer(closed, request_, token) == (200, "")
    (entry,) = closed.call(GetHistory(product_id=1), token=token).history
    assert (entry.by, entry.before, entry.after) == ("17", None, created.product)


def test_where_it_is_closed_an_account_with_the_scope_may_change_everything(closed: RunningServices) -> None:
    token = SIGNER.token(scope="admin catalog:write")
    http = catalog.web.create_app(closed).test_client()
    assert http.post("/products", json=LAMP, headers={"Authorization": f"Bearer {token}"}).status_code == 201
    for request in sorted(WRITES, key=lambda each: isinstance(each, DeleteProduct)):
        assert _answer(closed, request, token) == (type(request).success_status, "")


def test_a_closed_catalog_does_not_say_that_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "settings", CatalogSettings(open=False))
    with capture_logs() as logs, running(catalog.main.application):
        pass
    assert _openings(logs) == []
