"""The page of one request, as an operator without a browser gets it."""

import re
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert
from support.dead_letters import LETTER_KEY, letters_in, store_dead_letters
from support.hostile_text import HOSTILE, check_shown_as_text
from support.html_page import HtmlPage

from bus.contract.operator.requests import FailedAttempt
from bus.contract.problems import Unavailable
from bus.database.clock import sql_now
from bus.database.engine import Database
from bus.database.tables import failed_attempt
from bus.dead_letters.envelope import Fault, dead_letter
from bus.messaging.message import Message
from bus.testing.waiting import wait_until
from catalog.contract import CreateProduct
from catalog.handlers import catalog

WAIT_SECONDS = 30.0
LAMP = b'{"name": "Lamp", "price": 9.9, "quantity": 3}'
TRACE = "a" * 32


def _fail(database: Database, message_id: str, number: int, detail: str = "as asked", pause: int | None = 5) -> None:
    values: dict[str, object] = dict.fromkeys(FailedAttempt.__struct_fields__, detail)
    values |= {"message_id": message_id, "caller": "anonymous", "operation": "catalog.create_product"}
    values |= {"number": number, "failed_at": sql_now(), "detail": detail, "trace_id": TRACE, "retry_seconds": pause}
    with database.transaction() as transaction:
        transaction.connection.execute(insert(failed_attempt).values(values))


def _page(operating: Any, which: str) -> str:
    page: str = operating.get(f"/requests?id={which}")
    check_shown_as_text(page, which)
    return page


def test_a_command_is_found_with_its_answer_and_its_event(operating: Any) -> None:
    operating.enter()
    assert "Find the request" in operating.get("/")
    operating.console.client.call(CreateProduct(name="Lamp", price=1, quantity=2), message_id="order-1")  # type: ignore[arg-type]
    page = _page(operating, "order-1")
    assert "catalog.create_product of a caller without an account: the answer is 201 Created" in page
    assert "was carried out and committed" in page
    wait_until(lambda: "was sent to the broker" in _page(operating, "order-1"), WAIT_SECONDS, "its event is sent")
    page = _page(operating, "order-1")
    (event_id,) = {*re.findall(r"catalog\.product_changed \(([0-9a-f]{32})\)", page)}
    assert "catalog.create_product of a caller" in _page(operating, event_id)  # from the event to its command
    (trace,) = re.findall(r'Trace <a href="/requests\?id=([0-9a-f]{32})"', page)
    for which in (trace, f"00-{trace}-{'1' * 16}-01"):  # the latter as headers have it
        assert 'href="/requests?id=order-1"' in _page(operating, which)


def test_one_that_waits_for_its_next_try_and_one_that_died(operating: Any, database: Database) -> None:
    operating.enter()
    _fail(database, "order-1", 1)
    _fail(database, "order-1", 2)
    page = _page(operating, "order-1")
    assert "<strong>pending</strong>" in page
    assert page.index("Try 1 of catalog.create_product") < page.index("Try 2 of catalog.create_product")
    assert "Where messages wait now" not in page  # none does, as far as this console has seen
    _fail(database, "order-1", 3, pause=None)
    request = Message(queue="catalog.create_product", body=LAMP, message_id="order-1")
    letter = dead_letter(request, "catalog", LAMP, key=LETTER_KEY, reason="fault", detail="as asked")
    store_dead_letters(database, catalog, letter)
    number = letters_in(database)[0].id
    page = _page(operating, "order-1")
    assert f"<strong>dead</strong> catalog.create_product of a caller without an account: dead letter {number}" in page
    assert f'href="/dead-letters/catalog/letters/{number}"' in page
    shown = operating.get(f"/dead-letters/catalog/letters/{number}")
    HtmlPage(shown)
    assert [shown.count(f"Try {each}:") for each in (1, 2, 3, 4)] == [1, 1, 1, 0]
    assert 'href="/requests?id=order-1"' in shown
    assert 'href="/requests?id=order-1"' in operating.get("/dead-letters/catalog")


def test_what_nobody_knows_may_still_wait_and_says_so(operating: Any) -> None:
    operating.enter()
    assert "What became of it:" in operating.get("/requests")
    page = _page(operating, "nothing")
    assert "No service knows it." in page
    assert "It waits in its queue" in page
    for wrong in ("%00", "%C3%A9", "a%20b", "x" * 256):
        assert "A message id is 1 to 255 visible ASCII characters." in operating.get(f"/requests?id={wrong}", 400)


def test_hostile_text_is_shown_as_text(operating: Any, database: Database) -> None:
    operating.enter()
    for number, text in enumerate(HOSTILE):
        if text.isascii() and text.isprintable() and " " not in text:
            _page(operating, quote(text, safe=""))
        words = text.replace("\x1b", "").replace("\x07", "")  # which are cut where a try is written down
        _fail(database, f"order-{number}", 1, words)
        request = Message(queue="catalog.create_product", body=LAMP, message_id=f"order-{number}")
        fault = Fault(words, words)
        letter = dead_letter(request, "catalog", LAMP, key=LETTER_KEY, reason="fault", detail=words, fault=fault)
        store_dead_letters(database, catalog, letter)
        assert "became dead letter" in _page(operating, f"order-{number}")


def test_what_could_not_be_asked_for_is_not_taken_for_what_nobody_knows(
    operating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    operating.enter()

    def ask(*_: object, **__: object) -> None:
        raise Unavailable("database-unavailable", "The database cannot be reached.")

    monkeypatch.setattr(operating.console, "ask", ask)
    page = _page(operating, "order-1")
    assert "catalog did not answer: The database cannot be reached." in page
    assert "Nothing is known of it, because no service answered." in page
    assert "No service" not in page
    back = "/dead-letters/catalog?which=order-1&state=any"
    assert f'href="{escape(back)}">Try again' in operating.get(back, 503)  # with its filter
