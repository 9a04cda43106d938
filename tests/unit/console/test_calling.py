"""Calls from the console: forms, replies and what is recorded, as an operator without a browser gets them."""

import html
import math
import re
from typing import Any

import pytest
from sqlalchemy import select
from support.hostile_text import HOSTILE, check_shown_as_text
from support.html_page import HtmlPage

from bus.console.accounts import AccountLogIn
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.database.engine import Database
from bus.database.tables import dead_letter_action, inbox
from catalog.tables import product

CREATE = "/call/catalog.create_product"
LAMP = {"field.name": "Lamp", "field.price": "9.90", "field.quantity": "3"}

Sent = list[tuple[str, bytes]]


def _names(database: Database) -> list[str]:
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(product.c.name)).scalars())


def _recorded(database: Database) -> list[tuple[str, str, str]]:
    columns = (dead_letter_action.c.kind, dead_letter_action.c.made_by, dead_letter_action.c.chosen_by)
    with database.reading() as transaction:
        return [tuple(row) for row in transaction.connection.execute(select(*columns))]  # type: ignore[misc]


def _id_of(page: str) -> str:
    (found,) = re.findall(r'name="message_id" value="([^"]+)"', page)
    return html.unescape(found)


def test_a_command_is_sent_once_recorded_and_its_reply_is_shown(operating: Any, database: Database) -> None:
    operating.enter()
    form = operating.get(CREATE)
    HtmlPage(form)
    assert "changes something" in form
    assert "Two products never have the same <code>sku</code>." in form
    assert "number, 0 to 9999999999.99, at most 2 digits" in form
    message_id = _id_of(form)
    first = operating.post(CREATE, message_id=message_id, **LAMP)
    second = operating.post(CREATE, message_id=message_id, **LAMP)
    assert (first.status_code, second.status_code) == (200, 200)
    HtmlPage(first.text)
    assert _names(database) == ["Lamp"]
    for page in (first.text, second.text):
        assert "&#34;name&#34;: &#34;Lamp&#34;" in page
        assert "<dt>location</dt><dd>/products/1</dd>" in page
    assert _id_of(first.text) != message_id  # another call is another command
    called = ("call", "the console's token (console)", f"catalog.create_product {message_id}")
    assert _recorded(database) == [called, called]
    assert f'href="/requests?id={message_id}"' in operating.get("/actions?service=catalog")
    assert "The operation was called" in operating.get("/actions/catalog/1")


def test_a_query_is_not_recorded_and_a_refusal_is_shown(operating: Any, database: Database) -> None:
    operating.enter()
    found = operating.post("/call/catalog.get_product", **{"field.product_id": "4711"})
    assert "404" in found.text
    assert "No product has this id." in found.text
    assert _recorded(database) == []


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_sent(operating: Any, database: Database) -> None:
    operating.enter()
    wrong = operating.post(CREATE, message_id="order-1", **{**LAMP, "field.price": "cheap", "field.tags": "["})
    assert wrong.status_code == 422
    assert 'id="field-tags-fault">This is not JSON.' in wrong.text
    wrong = operating.post(CREATE, message_id="order-1", **{**LAMP, "field.price": "cheap"})
    assert 'id="field-price-fault">Expected number, 0 to' in wrong.text
    assert 'value="cheap"' in wrong.text
    assert _id_of(wrong.text) == "order-1"
    assert (_names(database), _recorded(database)) == ([], [])
    # What only the worker finds out stands there too.
    taken = operating.post("/call/catalog.update_product", **{"field.product_id": "1", "field.id": "2"})
    assert 'id="field-id-fault">This is not the id' in taken.text
    assert operating.post(CREATE, message_id="ä", **LAMP).status_code == 400


def test_operators_operations_and_unknown_ones_are_not_offered(operating: Any) -> None:
    operating.enter()
    offered = operating.get("/call")
    HtmlPage(offered)
    assert "catalog.create_product" in offered
    for name in ("catalog.take_dead_letters", "catalog.record_call", "catalog.nothing", "nothing"):
        assert name not in offered
        operating.get(f"/call/{name}", 404)
        assert operating.post(f"/call/{name}").status_code == 404


def test_an_example_is_filled_in_and_an_outcome_is_found(operating: Any, database: Database) -> None:
    operating.enter()
    assert 'value="9.90"' in operating.get(f"{CREATE}?example=1")
    operating.post(CREATE, message_id="order-1", **LAMP)
    path = "/call/catalog.get_outcome"
    assert 'value="order-1"' in operating.get(f"{path}?field.message_id=order-1")
    assert "&#34;state&#34;: &#34;done&#34;" in operating.post(path, **{"field.message_id": "order-1"}).text


def test_a_late_command_leads_to_its_outcome(operating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    operating.enter()

    def late(*_: object, message_id: str, **__: object) -> None:
        raise ReplyTimeout("catalog.create_product", message_id, 5.0)

    monkeypatch.setattr(operating.console.client, "exchange", late)
    monkeypatch.setattr(operating.console, "ask", lambda *_, **__: None)
    page = operating.post(CREATE, message_id="order 1".replace(" ", "-"), **LAMP).text
    assert 'href="/call/catalog.get_outcome?field.message_id=order-1"' in page
    assert _id_of(page) == "order-1"  # sent again, it is the same command


def test_what_was_sent_with_a_log_in_is_asked_for_with_it(operating: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    operating.enter()
    (session,) = operating.console.access._sessions.values()
    session.log_in, session.ask_at = AccountLogIn("a.b.c", "refresh", math.inf), math.inf
    session.confirmed_at = math.inf
    given: list[dict[str, object]] = []

    def late(*_: object, message_id: str, **words: object) -> None:
        given.append(words)
        raise ReplyTimeout("catalog.create_product", message_id, 5.0)

    monkeypatch.setattr(operating.console.client, "exchange", late)
    monkeypatch.setattr(operating.console, "ask", lambda *_, **__: None)
    for as_me, token in (("on", ""), ("", ""), ("", "x.y.z")):
        mine = {"as_me": as_me} if as_me else {}
        page = operating.post(CREATE, message_id="order-1", token=token, **mine, **LAMP).text
        assert ("with the same access token" in page) is bool(token)
        assert "x.y.z" not in page
        (link,) = re.findall(r'href="(/call/catalog.get_outcome[^"]+)"', page)
        assert ('name="as_me" checked' in operating.get(html.unescape(link))) is bool(as_me)
    assert [words["token"] for words in given] == ["a.b.c", None, "x.y.z"]
    assert {words["client_address"] for words in given} == {"127.0.0.1"}


def test_a_secret_is_never_shown_again_and_stands_in_no_record(of_auth: Any, sent: Sent) -> None:
    of_auth.enter()
    path = "/call/auth.register"
    form = of_auth.get(f"{path}?field.password=from-a-link&field.username=ada")
    assert "from-a-link" not in form
    assert 'value="ada"' in form
    assert re.search(r'<input id="field-password"[^>]* type="password"', form)
    given = {"field.username": "ada", "field.email": "no address", "field.password": "correct horse battery"}
    refused = of_auth.post(path, **given)
    assert refused.status_code == 422
    assert "correct horse" not in refused.text
    assert 'value="no address"' in refused.text
    late = of_auth.post(path, **{**given, "field.email": "ada@example.org"}, token="a.b.c")
    assert "correct horse" not in late.text
    assert "a.b.c" not in late.text
    recorded = [body for name, body in sent if name == "recorded"]
    assert len(recorded) == 1
    assert b"correct horse" not in recorded[0]
    # What has secrets inside is lines of JSON, and not shown again either.
    users = '[{"username": "bob", "email": "bob@example.org", "password_hash": "secret-hash"}]'
    assert "secret-hash" not in of_auth.post("/call/auth.import_users", **{"field.users": users}).text


def test_a_form_that_comes_twice_logs_in_once(of_auth: Any, sent: Sent) -> None:
    of_auth.enter()
    given = {"field.login": "ada", "field.password": "secret", "message_id": "one"}
    of_auth.post("/call/auth.log_in", **given)
    again = of_auth.post("/call/auth.log_in", **given)
    assert again.status_code == 409
    assert "This form was sent before" in again.text
    assert [name for name, _ in sent] == ["recorded", "auth.log_in", "recorded"]


def test_a_log_in_that_could_not_be_recorded_can_be_sent_again(
    of_auth: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_auth.enter()
    given = {"field.login": "ada", "field.password": "secret", "message_id": "one"}
    with monkeypatch.context() as patch:
        patch.setattr(of_auth.console, "ask", _no_worker)
        assert of_auth.post("/call/auth.log_in", **given).status_code == 503
    assert of_auth.post("/call/auth.log_in", **given).status_code == 200
    assert [name for name, _ in sent] == ["recorded", "auth.log_in"]


def _no_worker(*_: object, **__: object) -> None:
    raise Unavailable("no-worker", "No worker.")


def test_nothing_is_sent_that_cannot_be_recorded(operating: Any, memory_url: str, database: Database) -> None:
    operating.enter()
    operating.console._operator_token = "not that of the worker"
    refused = operating.post(CREATE, **LAMP)
    assert (refused.status_code, "For operators only" in refused.text) == (403, True)
    with database.reading() as transaction:
        assert transaction.connection.execute(select(inbox)).all() == []


def test_hostile_text_is_shown_as_text(operating: Any) -> None:
    operating.enter()
    for text in HOSTILE:
        for fields in ({"field.name": text}, {"field.name": text, "field.tags": text, "empty.sku": text}):
            check_shown_as_text(operating.post(CREATE, **{**LAMP, **fields}).text, text)
