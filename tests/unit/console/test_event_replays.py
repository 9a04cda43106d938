"""The pages on which events are sent again, as an operator without a browser gets them."""

import html
import re
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from support.hostile_text import HOSTILE, check_shown_as_text
from support.html_page import HtmlPage

from bus.client.client import Client
from bus.console.console import Known
from bus.contract.operator.state import QueueInState
from bus.database.engine import Database
from bus.database.tables import outbox
from bus.messaging.memory.broker import broker_of
from bus.testing.waiting import wait_until
from catalog.contract import CreateProduct
from catalog.handlers import catalog

WAIT_SECONDS = 30.0
PLACE = "/events/replay"
LAMPS = 3


@pytest.fixture
def told(operating: Any, memory_url: str) -> Any:
    """A console whose catalog has told of three lamps."""
    operating.enter()
    with Client(memory_url) as client:
        for number in range(LAMPS):
            client.call(CreateProduct(name=f"Lamp {number}", price=Decimal(1), quantity=1))
    return operating


def _form(**more: str) -> dict[str, str]:
    return {"service": "catalog", "queue": "copies.events", "since": "1h", "until": "", "name": "", **more}


def _hidden(page: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.rpartition("<form")[2])
    return {name: html.unescape(value) for name, value in found if name != "csrf"}


def test_what_was_previewed_is_sent_to_the_listener_and_can_be_gone_on_with(told: Any, memory_url: str) -> None:
    HtmlPage(told.get(PLACE))
    preview = told.post(PLACE, **_form()).text
    HtmlPage(preview)
    assert "Send 3 events of catalog to copies.events?" in preview
    assert "No service that is installed here listens at <code>copies.events</code>" in preview
    assert '<td><code>catalog.product_changed</code></td><td class="number">3</td>' in preview
    with Client(memory_url) as client:
        client.call(CreateProduct(name="Later", price=Decimal(1), quantity=1))
    begun = told.post(f"{PLACE}/begin", **_hidden(preview), rate="50", reason="a new copy")
    assert (begun.status_code, begun.location) == (303, "/actions/catalog/1")
    wait_until(lambda: "There is no queue copies.events" in told.get(begun.location), WAIT_SECONDS, "it says so")
    stopped = told.get(begun.location)
    HtmlPage(stopped)
    assert "0 of 3 sent" in stopped
    assert "Go on with those that are left" in stopped
    broker = broker_of(memory_url)
    broker.connect().default_channel.queue_declare("copies.events")
    told.post(f"{begun.location}/resume", rate="50")
    wait_until(lambda: "All are sent." in told.get(begun.location), WAIT_SECONDS, "it has gone on")
    assert broker.queues["copies.events"].qsize() == LAMPS
    done = told.get(begun.location)
    assert "3 of 3 sent" in done
    assert "a new copy" in done
    listed = told.get("/actions")
    HtmlPage(listed)
    assert "--to copies.events" in listed
    assert "the console&#39;s token (console)" in listed


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("service", "nothing", "Choose a service."),
        ("queue", "", "Name the queue of the listener"),
        ("since", "", "This is not a time"),
        ("since", "yesterday", "This is not a time"),
        ("until", "soon", "This is not a time"),
        ("queue", "catalog.create_product", "This queue is not for events."),
        ("queue", "ä" * 200, "The name of a queue has at most 255 bytes."),
        ("since", "0001-01-01", "This is not between the years 1970 and 9998."),
        ("since", "2990-01-01", "This is in the future."),
        ("until", "9999-12-31", "This is not between the years 1970 and 9998."),
        ("until", "2h", "This is not after the beginning of the time."),
    ],
)
def test_what_is_wrong_with_a_field_stands_beside_it(told: Any, field: str, value: str, said: str) -> None:
    queues = [QueueInState(name=each.name, kind=each.kind, bound=0) for each in catalog.queues()]
    told.console.known = {"catalog": Known(queues, catalog.operations)}
    refused = told.post(PLACE, **_form(**{field: value}))
    assert refused.status_code == 422
    HtmlPage(refused.text)
    assert re.search(rf'id="{field}-fault">{said}', refused.text)
    assert value in refused.text


def test_what_the_service_refuses_is_said_and_nothing_begins(told: Any) -> None:
    preview = told.post(PLACE, **_form()).text
    refused = told.post(f"{PLACE}/begin", **{**_hidden(preview), "queue": "catalog.create_product"}, rate="50")
    assert (refused.status_code, "This queue of the service is for requests." in refused.text) == (422, True)
    assert told.post(f"{PLACE}/begin", **{**_hidden(preview), "until": "x"}).status_code == 422
    assert told.post(f"{PLACE}/begin", **{**_hidden(preview), "service": "x"}).status_code == 404
    assert "Nothing yet." in told.get("/actions")


def test_hostile_text_is_shown_as_text(told: Any, database: Database) -> None:
    with database.transaction() as transaction:
        for text in HOSTILE:
            transaction.connection.execute(insert(outbox).values(event_id="1", name=text, body=b"{}"))
    preview = told.post(PLACE, **_form(queue=HOSTILE[0])).text
    check_shown_as_text(preview, "preview")
    begun = told.post(f"{PLACE}/begin", **_hidden(preview), reason=HOSTILE[1])
    wait_until(lambda: "There is no queue" in told.get(begun.location), WAIT_SECONDS, "it has stopped")
    for path in (begun.location, "/actions"):
        check_shown_as_text(told.get(path), path)
    for text in HOSTILE:
        refused = told.post(PLACE, **_form(queue=text, since=text, until=text, name=text))
        check_shown_as_text(refused.text, text)
