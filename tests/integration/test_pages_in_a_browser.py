"""The pages as people have them: in a real browser, of every size, dark, and without scripts.

With `BUS_TEST_SHOTS` set to a folder, pictures of the pages are left there.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from support.accessibility import barriers_of
from support.html_page import HtmlPage
from support.in_process_system import APPLICATIONS, RunningSystem
from support.installed_programs import need_programs
from support.long_timeouts import use_long_timeouts

from bus.service.application import Application
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until

NAMES = [application.name for application in APPLICATIONS]
PATHS = ("/", "/docs", "/messages")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 812}}
LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]

# Far more than a browser on a busy machine needs for a page of this machine.
PAGE_MS = 60_000
HTTP_SECONDS = 30.0

# By how many pixels a page would have to be scrolled to the right.
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CLIPBOARD = "navigator.clipboard.readText()"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@dataclass
class Visit:
    """A page that is open, and what went wrong in it: words on the console, errors, requests to others."""

    page: Page
    origin: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PAGE_MS)
        self.page.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self._look_at)
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective))"
        )

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.origin}{path}")
        if path == "/docs":
            self.page.locator(".opblock").first.wait_for()
        return self.page

    def notices(self, words: str) -> bool:
        """Whether such a trouble is known by now. Playwright hands over what happens in a page while it is asked."""
        self.page.evaluate("0")
        return any(words in trouble for trouble in self.troubles)

    def _look_at(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.troubles.append(f"asks {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need_programs("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def system(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with RunningSystem(rabbitmq.fresh_vhost(), tmp_path_factory.mktemp("system")) as system:
        yield system


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=SIZES["desktop"])
    yield context
    context.close()


def _shots(otherwise: Path) -> Path:
    return Path(os.environ.get("BUS_TEST_SHOTS") or otherwise)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_page_is_quiet_asks_nobody_else_and_fits(
    browser: Browser, system: RunningSystem, tmp_path: Path, size: str, scheme: str, name: str
) -> None:
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
    visit = Visit(context.new_page(), system.front_ends[name])
    for path in PATHS:
        page = visit.go(path)
        assert page.evaluate(TOO_WIDE) <= 0, path
        assert barriers_of(page) == [], path
        shot = f"{name}-{path.strip('/') or 'start'}-{size}-{scheme}.png"
        assert page.screenshot(path=_shots(tmp_path) / shot)
        assert visit.troubles == [], path
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_operation_of_the_docs_fits_a_phone(
    browser: Browser, system: RunningSystem, tmp_path: Path, scheme: str
) -> None:
    context = browser.new_context(viewport=SIZES["phone"], color_scheme=scheme)
    visit = Visit(context.new_page(), system.front_ends["catalog"])
    page = visit.go("/docs")
    page.locator(".opblock-summary-control").first.click()
    page.locator(".responses-table").first.wait_for()
    assert page.evaluate(TOO_WIDE) <= 0
    assert barriers_of(page) == []
    assert page.screenshot(path=_shots(tmp_path) / f"catalog-docs-open-phone-{scheme}.png")
    assert visit.troubles == []
    context.close()


def test_a_page_notices_what_it_must_not_do(context: BrowserContext, system: RunningSystem) -> None:
    """That the test above can fail: the policy is in force, and what it forbids is seen."""
    visit = Visit(context.new_page(), system.front_ends["catalog"])
    page = visit.go("/messages")
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/other.png'}))")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    for directive in ("img-src", "script-src"):
        wait_until(lambda directive=directive: visit.notices(directive), PAGE_MS / 1000, f"{directive} is noticed")  # type: ignore[misc]
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("name", NAMES)
def test_the_start_page_leads_to_what_there_is(context: BrowserContext, system: RunningSystem, name: str) -> None:
    page = Visit(context.new_page(), system.front_ends[name]).go("/")
    assert page.locator(".state dd").first.inner_text() == "ready"
    links = page.eval_on_selector_all("a:not([href^='#'])", "links => links.map((link) => link.href)")
    assert {link.removeprefix(system.front_ends[name]) for link in links} >= {
        *("/docs", "/messages", "/openapi.json", "/asyncapi.json"),
    }
    for link in set(links):
        with urlopen(link, timeout=HTTP_SECONDS) as response:
            assert response.status == 200, link


@pytest.mark.parametrize("application", APPLICATIONS, ids=NAMES)
def test_the_docs_show_every_operation_that_has_a_route(
    context: BrowserContext, system: RunningSystem, application: Application
) -> None:
    page = Visit(context.new_page(), system.front_ends[application.name]).go("/docs")
    summaries = page.locator(".opblock-summary").all_inner_texts()
    shown = {" ".join(summary.replace("\u200b", "").split()[:2]) for summary in summaries}
    assert shown >= {str(operation.http) for operation in application.operations}


def test_trying_it_out_in_the_docs_makes_a_product(context: BrowserContext, system: RunningSystem) -> None:
    visit = Visit(context.new_page(), system.front_ends["catalog"])
    page = visit.go("/docs")
    block = page.locator(".opblock-post").first
    block.locator("button.opblock-summary-control").click()
    body = block.locator("textarea.body-param__text")
    body.fill(json.dumps({"name": "Made in the docs", "price": 9.90, "quantity": 3}))
    with page.expect_response("**/products") as response:
        block.locator("button.execute").click()
    assert response.value.status == 201
    block.locator(".live-responses-table").get_by_text("Made in the docs").first.wait_for()
    assert visit.troubles == []
    with urlopen(f"{system.front_ends['catalog']}/products", timeout=HTTP_SECONDS) as answer:
        assert "Made in the docs" in [product["name"] for product in json.load(answer)["products"]]


def test_a_copy_button_gives_exactly_the_program(context: BrowserContext, system: RunningSystem) -> None:
    origin = system.front_ends["auth"]
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
    page = Visit(context.new_page(), origin).go("/messages#auth.register")
    with urlopen(f"{origin}/messages", timeout=HTTP_SECONDS) as response:
        programs = HtmlPage(response.read().decode()).programs
    for language in sorted({language for _, language in programs}):
        page.locator(f"#in-{language}").check()
        panel = page.locator("details[data-operation='auth.register'] [data-language]:visible")
        panel.get_by_role("button", name="Copy").click()
        page.locator(".notice.shown").wait_for()
        # The word of the copy before may be shown still, so that is not enough.
        wait_until(lambda: page.evaluate(CLIPBOARD) != "", PAGE_MS / 1000, "something is copied")
        assert page.evaluate(CLIPBOARD) == programs["auth.register", language]
        page.evaluate("navigator.clipboard.writeText('')")


def test_operation_and_language_are_chosen_with_the_keyboard_and_the_language_is_kept(
    context: BrowserContext, system: RunningSystem
) -> None:
    page = Visit(context.new_page(), system.front_ends["catalog"]).go("/messages")
    operation = page.locator("details[data-operation='catalog.get_product']")
    operation.locator("summary").press("Enter")
    program = operation.locator("[data-language]:visible")
    page.locator("#in-python").focus()
    for key, language in (("ArrowRight", "node"), ("ArrowLeft", "python"), ("ArrowLeft", "bus")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.id") == f"in-{language}"
        assert program.get_attribute("data-language") == language
    page.reload()
    operation.locator("summary").press("Enter")
    assert program.get_attribute("data-language") == "bus"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_address_with_an_operation_opens_it(
    browser: Browser, system: RunningSystem, size: str, *, scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=scripts, viewport=SIZES[size])
    page = context.new_page()
    page.goto(f"{system.front_ends['catalog']}/messages#catalog.update_product")
    operation = page.locator("details[data-operation='catalog.update_product']")
    assert operation.get_attribute("open") is not None
    languages, summary = page.locator(".languages").bounding_box(), operation.locator("summary").bounding_box()
    assert languages is not None
    assert summary is not None
    assert languages["y"] + languages["height"] <= summary["y"] < SIZES[size]["height"] / 2
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_all_is_there_without_scripts(browser: Browser, system: RunningSystem, name: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=SIZES["phone"])
    page = context.new_page()
    page.goto(f"{system.front_ends[name]}/messages")
    operation = page.locator(f"details[data-operation='{name}.ping']")
    program = operation.locator("[data-language='go'] pre")
    operation.locator("summary").click()
    assert not program.is_visible()
    page.locator("#in-go").check()
    assert program.is_visible()
    assert page.get_by_role("button", name="Copy").count() == 0
    page.goto(f"{system.front_ends[name]}/docs")
    assert page.get_by_role("link", name="/openapi.json").is_visible()
    context.close()
