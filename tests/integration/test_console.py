"""The console as an operator has it: a real browser, a real broker, and a worker that can be killed.

With `BUS_TEST_SHOTS` set to a folder, pictures of the pages are left there.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pika
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from support.accessibility import barriers_of
from support.installed_programs import need_programs
from support.long_timeouts import use_long_timeouts
from support.serving import serving

from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.console.access import Access
from bus.console.application import LONG_FORM_BYTES, console_application
from bus.console.console import Console, Known
from bus.contract.operator.state import QueueInState
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.servers.postgres import find_database
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until
from catalog.contract import ListProducts
from catalog.handlers import catalog

TOKEN, OPERATOR_TOKEN = "the token that is printed", "the operator token of this installation"
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 812}}
LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
# Far more than a browser on a busy machine needs for a page of this machine.
PAGE_MS = 60_000
WAIT_SECONDS = 60.0
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}


class System:
    """A worker of the catalog in a process of its own, and a console for it."""

    def __init__(self, url: str, database_url: str) -> None:
        self.url, self._database_url = url, database_url
        self._closing = ExitStack()
        self._worker: subprocess.Popen[bytes] | None = None
        self.origin = ""

    def __enter__(self) -> Self:
        database = Database(self._database_url)
        migrate(database, "catalog.migrations")
        database.close()
        self.start_worker()
        self.client = self._closing.enter_context(RetryingClient(self.url, name="tests"))
        asking = self._closing.enter_context(Client(self.url, name="console"))
        access = Access(asking, TOKEN, with_accounts=True)
        queues = [QueueInState(name=each.name, kind=each.kind, bound=each.bound) for each in catalog.queues()]
        console = Console(asking, self.url, OPERATOR_TOKEN, access, {"catalog": Known(queues, catalog.operations)})
        console.start()
        self._closing.callback(console.stop)
        self.origin = self._closing.enter_context(serving(console_application(console), max_body_bytes=LONG_FORM_BYTES))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self.end_worker(signal.SIGTERM)

    def start_worker(self) -> None:
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "bus.cli", "worker", "catalog"],
            env={
                **os.environ,
                "BUS_URL": self.url,
                "BUS_OPERATOR_TOKEN": OPERATOR_TOKEN,
                "CATALOG_DATABASE_URL": self._database_url,
                "LOG_LEVEL": "error",
                "RETRY_SECONDS": "1,2,60",
            },
        )

    def end_worker(self, how: signal.Signals) -> None:
        assert self._worker is not None
        self._worker.send_signal(how)
        self._worker.wait(WAIT_SECONDS)

    @contextmanager
    def failing(self, name: str, *, times: int) -> Iterator[None]:
        """Have the handler fail so many times with products of this name: the database refuses them."""
        trigger = (
            f"CREATE TRIGGER failing BEFORE INSERT ON products WHEN NEW.name = '{name}' AND "
            f"(SELECT count(*) FROM failed_attempts) < {times} BEGIN SELECT RAISE(ABORT, 'as asked'); END"
        )
        self._execute(trigger)
        yield
        self._execute("DROP TRIGGER failing")

    def _execute(self, statement: str) -> None:
        database = Database(self._database_url)
        with database.transaction() as transaction:
            transaction.connection.exec_driver_sql(statement)
        database.close()

    def publish(self, *bodies: object, message_id: str | None = None) -> None:
        """Publish commands to create products, as any program does."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for body in bodies:
                properties = pika.BasicProperties(delivery_mode=2, message_id=message_id)
                channel.basic_publish("", "catalog.create_product", json.dumps(body).encode(), properties)

    def names(self) -> list[str]:
        return [product.name for product in self.client.call(ListProducts()).products]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)
    monkeypatch.setattr("bus.console.watching.ANSWER_SECONDS", 2.0)
    monkeypatch.setattr("bus.console.overview.STREAM_SECONDS", 3.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_programs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(rabbitmq.fresh_vhost(), f"sqlite:///{tmp_path_factory.mktemp('console')}/catalog.db") as system:
        wait_until(lambda: system.names() == [], WAIT_SECONDS, "the worker answers")
        yield system


def _page(context: BrowserContext, troubles: list[str]) -> Page:
    page = context.new_page()
    page.set_default_timeout(PAGE_MS)
    expect.set_options(timeout=PAGE_MS)
    page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
    )
    return page


def _finding(page: Page, words: str) -> Locator:
    """Where it is shown; it is read out too."""
    return page.locator(".finding", has_text=words).first


def test_a_command_that_died_is_found_mended_and_carried_out(browser: Browser, system: System) -> None:
    """From the log-in to the product, by keyboard where it can be."""
    troubles: list[str] = []
    context = browser.new_context(viewport=SIZES["desktop"])
    page = _page(context, troubles)
    page.goto(system.origin)
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    expect(page.get_by_label("Token")).to_be_focused()
    troubles.clear()  # the browser notes the status 403
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    system.publish({**LAMP, "price": -1}, "garbage", {**LAMP, "name": "Chair"})
    finding = _finding(page, "catalog: 2 dead letters to look at.")
    expect(finding).to_be_visible()  # without a reload
    page.get_by_role("link", name="Show").click()
    page.get_by_label("Reason or error").fill("out-of-range")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 matches; 1 of them can be sent again as they are.")
    page.locator("tbody a").click()
    body = page.get_by_label("Body, JSON")
    body.fill(json.dumps({**LAMP, "price": -2}))
    page.get_by_role("button", name="Send with this body").click()
    expect(page.get_by_role("alert")).to_contain_text("price: Expected a number")
    expect(body).to_be_focused()
    troubles.clear()  # the status 422
    body.fill(json.dumps({**LAMP, "name": "Mended"}))
    page.get_by_label("Reason").press("Enter")
    expect(_finding(page, "All are done.")).to_be_visible()
    assert sorted(system.names()) == ["Chair", "Mended"]
    page.get_by_role("link", name="Dead letters", exact=True).click()
    page.get_by_role("link", name="catalog", exact=True).click()
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Discard the selected …").click()
    page.get_by_label("Reason").fill("it is garbage")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("cell", name="it is garbage")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{system.origin}/dead-letters")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert troubles == []
    context.close()


def test_a_killed_worker_and_a_queue_that_fills_are_said_until_it_is_over(browser: Browser, system: System) -> None:
    context = browser.new_context(viewport=SIZES["desktop"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    system.end_worker(signal.SIGKILL)
    expect(_finding(page, "catalog: No worker of catalog answers.")).to_be_visible()
    expect(page.locator("[aria-live]")).to_contain_text("No worker of catalog answers.")  # and is read out
    assert (
        page.locator("[aria-live]").evaluate("each => each.offsetWidth * each.offsetHeight") == 1
    )  # and not seen twice
    system.publish(*({**LAMP, "name": f"Lamp {number}"} for number in range(3)))
    expect(_finding(page, "catalog.create_product: 3 messages and no consumer.")).to_be_visible()
    system.start_worker()
    expect(page.get_by_role("heading", name="All is well")).to_be_visible()
    assert "Lamp 2" in system.names()
    other = _page(context, [])
    other.goto(system.origin)
    other.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()  # its next stream was refused
    context.close()


def test_who_looks_at_what_changes_is_left_in_peace(browser: Browser, system: System) -> None:
    """What is scrolled, focused or marked stays so, while the page shows what is new."""
    context = browser.new_context(viewport=SIZES["phone"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    workers, shown_at = page.get_by_role("region", name="Workers of catalog"), page.locator("#live > .where")

    def see_more() -> None:
        """Wait until the part that changes has been replaced."""
        before = shown_at.inner_text()
        expect(shown_at).not_to_have_text(before)

    workers.evaluate("each => { each.scrollLeft = 100 }")
    page.get_by_text("Queues with nothing in them").click()
    page.get_by_role("region", name="Queues with nothing in them").focus()
    system.publish({**LAMP, "price": -1})
    expect(_finding(page, "to look at.")).to_be_visible()  # a link more before what has the focus
    assert workers.evaluate("each => each.scrollLeft") == 100
    expect(page.get_by_role("region", name="Queues with nothing in them")).to_be_focused()
    page.get_by_role("heading", name="catalog").dblclick()
    for _ in range(2):
        page.wait_for_timeout(1500)  # longer than from one look to the next
        assert page.evaluate("getSelection().toString()").strip() == "catalog"
    see_more()  # some time it goes on
    context.close()


def test_a_replay_is_stopped_by_keyboard_while_its_page_shows_how_far_it_is(browser: Browser, system: System) -> None:
    context = browser.new_context(viewport=SIZES["desktop"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    system.publish(*({**LAMP, "price": -1 - number} for number in range(30)))
    letters, last = f"{system.origin}/dead-letters/catalog?which=last-of-them", page.get_by_text("1 matches;")
    system.publish({**LAMP, "price": -1}, message_id="last-of-them")
    wait_until(lambda: page.goto(letters) and last.count(), WAIT_SECONDS, "all have died")
    page.goto(f"{system.origin}/dead-letters/catalog")
    page.get_by_role("button", name="Send all").click()
    page.get_by_label("At most so many a second").fill("1")
    page.get_by_label("Begin with one").uncheck()
    page.get_by_role("button", name="Send again").click()
    progress = page.get_by_role("status")
    page.get_by_role("button", name="Stop").focus()
    before = progress.inner_text()
    expect(progress).not_to_have_text(before)
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Enter")
    rate = page.get_by_label("At most so many a second")
    rate.fill("7")
    page.wait_for_timeout(2500)  # in which it would be replaced
    expect(rate).to_have_value("7")
    page.get_by_role("button", name="Go on").click()
    expect(_finding(page, "so the others were not sent")).to_be_visible()
    context.close()


def test_while_the_database_is_away_each_page_says_so_and_afterwards_all_is_well(
    browser: Browser, rabbitmq: Broker
) -> None:
    away = "The database cannot be reached."
    with find_database() as server, System(rabbitmq.fresh_vhost(), server.fresh_database()) as system:
        wait_until(lambda: system.names() == [], WAIT_SECONDS, "the worker answers")
        context = browser.new_context(viewport=SIZES["desktop"])
        page, other = _page(context, []), _page(context, [])
        page.goto(f"{system.origin}/?token={TOKEN}")
        expect(page.get_by_role("heading", name="All is well")).to_be_visible()
        server.stop(immediate=True)
        expect(_finding(page, f"catalog: {away}")).to_be_visible()
        assert barriers_of(page) == []
        for path, status in (
            ("dead-letters", 200),
            ("dead-letters/catalog", 503),
            ("dead-letters/catalog/letters/1", 503),
            ("actions?service=catalog", 503),
            ("requests?id=order-1", 200),
        ):
            answer = other.goto(f"{system.origin}/{path}")
            assert answer is not None
            assert (answer.status, other.get_by_text(away).count()) == (status, 1), path
        assert barriers_of(other) == []
        other.goto(f"{system.origin}/call/catalog.create_product?example=1")
        other.get_by_role("button", name="Send the command").click()
        expect(other.get_by_role("alert")).to_contain_text(away)
        expect(other.get_by_role("heading", name="Not sent")).to_be_visible()
        server.start()
        expect(page.get_by_role("heading", name="All is well")).to_be_visible()
        other.get_by_role("button", name="Send the command").click()
        expect(other.get_by_role("status")).to_have_text("201")
        assert len(system.names()) == 1
        context.close()


def test_an_operation_is_called_once_and_what_is_wrong_stands_beside_its_field(
    browser: Browser, system: System
) -> None:
    context = browser.new_context(viewport=SIZES["desktop"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    page.get_by_role("link", name="Call", exact=True).click()
    page.get_by_role("link", name="catalog.create_product").click()
    page.get_by_label("name required").fill("Called")
    page.get_by_label("quantity required").fill("3")
    page.get_by_label("price required").fill("9,90")
    page.get_by_role("button", name="Send the command").click()
    expect(page.locator("#field-price-fault")).to_contain_text("A number has a point")
    assert page.get_by_label("price required").get_attribute("aria-invalid") == "true"
    expect(page.get_by_label("price required")).to_be_focused()
    page.get_by_label("price required").fill("9.90")
    page.get_by_role("button", name="Send the command").dblclick()
    expect(page.get_by_role("status")).to_have_text("201")
    expect(page.get_by_role("region", name="Reply", exact=True)).to_be_focused()
    expect(page.get_by_role("region", name="Body of the reply")).to_contain_text('"name": "Called"')
    assert system.names().count("Called") == 1
    page.goto(f"{system.origin}/actions?service=catalog")
    expect(page.get_by_role("cell", name="catalog.create_product")).to_have_count(1)
    context.close()


def test_events_are_shown_as_they_are_published_and_filtered(browser: Browser, system: System) -> None:
    context = browser.new_context(viewport=SIZES["desktop"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    page.get_by_role("link", name="Events", exact=True).click()

    def hears() -> bool:
        """Whether it listens: events of before are missed."""
        system.publish({**LAMP, "name": "Heard"})
        page.wait_for_timeout(200)
        return page.get_by_text('"name":"Heard"').count() > 0

    wait_until(hears, WAIT_SECONDS, "an event is shown without a reload")
    page.get_by_label("Text in the body").fill("never said")
    page.keyboard.press("Enter")
    expect(page.get_by_text("None of them matches yet.")).to_be_visible()
    page.get_by_label("Text in the body").fill("heard")
    page.get_by_label("Name").fill("catalog.*")
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name="catalog.product_changed").first).to_be_visible()
    page.get_by_role("link", name="Stand still").click()
    expect(page.get_by_role("link", name="Go on")).to_be_visible()
    expect(page.get_by_role("cell", name="catalog.product_changed").first).to_be_visible()
    plain = browser.new_context(java_script_enabled=False)
    listed = _page(plain, [])
    listed.goto(f"{system.origin}/?token={TOKEN}")
    listed.goto(f"{system.origin}/events?name=catalog.*")
    expect(listed.get_by_role("cell", name="catalog.product_changed").first).to_be_visible()
    assert listed.locator("noscript meta[http-equiv=refresh]").count() == 1
    plain.close()
    context.close()


def test_events_are_sent_to_a_listener_again_by_keyboard_alone(browser: Browser, system: System) -> None:
    context = browser.new_context(viewport=SIZES["phone"])
    page = _page(context, [])
    system.publish({**LAMP, "name": "Told"})
    wait_until(lambda: "Told" in system.names(), WAIT_SECONDS, "it is created")
    page.goto(f"{system.origin}/?token={TOKEN}")
    page.goto(f"{system.origin}/events")
    page.get_by_role("link", name="Send again").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{system.origin}/events/replay")
    page.get_by_label("Service required").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("copies.events")
    page.keyboard.press("Tab")
    page.keyboard.type("soon")
    page.keyboard.press("Enter")
    expect(page.locator("#since-fault")).to_contain_text("This is not a time")
    page.get_by_label("From required").fill("1h")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("of catalog to copies.events?")
    count = page.locator("td.number").first.inner_text()
    with pika.BlockingConnection(pika.URLParameters(system.url)) as connection:
        channel = connection.channel()
        channel.queue_declare("copies.events", durable=True)
        page.get_by_label("Reason").focus()
        page.keyboard.type("a new copy")
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{count} of {count} sent")).to_be_visible()
        expect(_finding(page, "All are sent.")).to_be_visible()
        assert f"{channel.queue_declare('copies.events', passive=True).method.message_count:,}" == count
        channel.queue_delete("copies.events")
    page.get_by_role("link", name="What was done").first.click()
    expect(page.get_by_role("cell", name="a new copy")).to_be_visible()
    context.close()


def test_a_command_that_fails_twice_is_found_by_its_id_with_each_try(browser: Browser, system: System) -> None:
    """Found from the head of the overview while it waits, and again when it is done."""
    troubles: list[str] = []
    context = browser.new_context(viewport=SIZES["phone"])
    page = _page(context, troubles)
    page.goto(f"{system.origin}/?token={TOKEN}")
    with system.failing("Fragile", times=2):
        system.publish({**LAMP, "name": "Fragile"}, message_id="order-4711")
        page.get_by_label("Message id, idempotency key or trace id").fill("order-4711")
        page.keyboard.press("Enter")
        page.wait_for_url(asked := f"{system.origin}/requests?id=order-4711")
        tries = page.get_by_text("of catalog.create_product failed at the worker on")
        wait_until(lambda: page.goto(asked) and tries.count(), WAIT_SECONDS, "a try has failed")
        is_done = page.get_by_text("done", exact=True)
        wait_until(lambda: page.goto(asked) and is_done.count(), WAIT_SECONDS, "it is done")
    happened = page.locator(".story p:first-of-type").all_inner_texts()
    assert [text.partition(" failed")[0] for text in happened[:2]] == [
        "Try 1 of catalog.create_product",
        "Try 2 of catalog.create_product",
    ]
    assert "carried out and committed; the answer is 201 Created" in happened[2]
    assert "The event catalog.product_changed" in happened[3]
    page.get_by_text("Traceback", exact=True).first.click()
    expect(page.get_by_role("region", name="Traceback").first).to_contain_text("IntegrityError")
    page.locator("p", has_text="Trace ").get_by_role("link").click()
    expect(page.get_by_role("link", name="order-4711").first).to_be_visible()  # by its trace
    assert system.names().count("Fragile") == 1
    assert troubles == []
    context.close()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_is_quiet_fits_and_can_be_read_by_all(
    browser: Browser, system: System, tmp_path: Path, size: str, scheme: str
) -> None:
    troubles: list[str] = []
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
    page = _page(context, troubles)
    page.goto(system.origin)
    _look_at(page, "log-in", f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/?token={TOKEN}")
    page.locator("summary").first.wait_for()
    _look_at(page, "overview", f"{size}-{scheme}", tmp_path)
    system.publish({**LAMP, "price": -1, "name": "<script>alert(1)</script>" * 4}, {**LAMP, "price": -2})
    _finding(page, "dead letters to look at").wait_for()
    for name, path in (("groups", "dead-letters"), ("letters", "dead-letters/catalog"), ("actions", "actions")):
        page.goto(f"{system.origin}/{path}")
        _look_at(page, name, f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/events?name=catalog.*&still=1")
    places = [page.get_by_label(name).bounding_box() for name in ("Name", "Service", "Text in the body")]
    assert size == "phone" or len({(place["y"], place["height"]) for place in places if place}) == 1
    _look_at(page, "events", f"{size}-{scheme}", tmp_path)
    system.publish(LAMP)
    wait_until(lambda: "Lamp" in system.names(), WAIT_SECONDS, "there is an event")
    page.goto(f"{system.origin}/events/replay")
    _look_at(page, "event-replay-form", f"{size}-{scheme}", tmp_path)
    page.get_by_label("To the queue").fill("feed.events")
    page.get_by_role("button", name="Show what would be sent").click()
    page.get_by_role("heading", name="to feed.events?").wait_for()
    _look_at(page, "event-replay", f"{size}-{scheme}", tmp_path)
    page.get_by_role("button", name="Send again").click()
    _finding(page, "There is no queue feed.events").wait_for()
    _look_at(page, "event-replay-stopped", f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/call")
    _look_at(page, "calls", f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/call/catalog.create_product?example=1&field.price=9,90")
    page.get_by_role("button", name="Send the command").click()
    page.locator("#field-price-fault").wait_for()
    troubles.clear()  # the status 422
    assert size == "phone" or page.locator("#message_id").evaluate("field => field.scrollWidth <= field.clientWidth")
    _look_at(page, "call", f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/dead-letters/catalog")
    page.locator("tbody a[href*=letters]").last.click()
    _look_at(page, "letter", f"{size}-{scheme}", tmp_path)
    for name, which in (("request", "order-4711"), ("unknown-request", "nothing")):
        page.goto(f"{system.origin}/requests?id={which}")
        _look_at(page, name, f"{size}-{scheme}", tmp_path)
    page.goto(f"{system.origin}/dead-letters/catalog")
    page.get_by_role("button", name="Send all").click()
    _look_at(page, "preview", f"{size}-{scheme}", tmp_path)
    page.get_by_role("button", name="Send again").click()
    _finding(page, "of them became").wait_for()
    page.get_by_role("button", name="Go on").wait_for()
    _look_at(page, "action", f"{size}-{scheme}", tmp_path)
    assert troubles == []
    context.close()


def _look_at(page: Page, name: str, kind: str, otherwise: Path) -> None:
    assert page.evaluate(TOO_WIDE) <= 0, name
    assert barriers_of(page) == [], name
    shots = Path(os.environ.get("BUS_TEST_SHOTS") or otherwise)
    assert page.screenshot(path=shots / f"console-{name}-{kind}.png", full_page=True)


def test_without_scripts_a_group_is_replayed_all_the_same(browser: Browser, system: System) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=SIZES["phone"])
    page = _page(context, [])
    page.goto(f"{system.origin}/?token={TOKEN}")
    assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
    system.publish({**LAMP, "price": -3})
    expect(_finding(page, "to look at.")).to_be_visible()  # the page reloads itself
    page.goto(f"{system.origin}/dead-letters/catalog")
    page.locator("tbody input").first.check()
    page.get_by_role("button", name="Send the selected again …").click()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("1 of 1 sent")).to_be_visible()
    page.goto(f"{system.origin}/call/catalog.get_product")
    page.get_by_label("product_id required").fill("4711")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("No product has this id.")
    context.close()
