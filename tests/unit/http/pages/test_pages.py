"""Pages: their content, their headers and their files."""

import hashlib
import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from markupsafe import escape

import bus
import catalog.contract
from bus.http.pages.guide import guide_to
from bus.http.pages.page import Page
from bus.http.pages.pages import VIEWER, Link, State, docs_page, message_page, start_page
from catalog.contract import ProductNotFound

STATIC = Path(bus.__file__ or "").parent / "http" / "pages" / "static"


def _policy(page: Page) -> dict[str, str]:
    header = page.headers["Content-Security-Policy"]
    return dict(directive.split(" ", 1) for directive in header.split("; "))


def _start(health: str = "ready", *, is_embedded: bool = False) -> Page:
    guide = guide_to("catalog", catalog.contract)
    return start_page(guide, State(health, "a broker", "", is_embedded), [Link("/docs", "read")], ["GET /own"])


def _messages(*, is_embedded: bool = False) -> Page:
    return message_page(guide_to("catalog", catalog.contract), is_embedded=is_embedded)


def test_a_browser_may_run_only_what_is_inside_the_page() -> None:
    for page in (_start(), _messages()):
        policy = _policy(page)
        assert policy["default-src"] == "'none'"
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert "self" not in page.headers["Content-Security-Policy"]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"\son\w+=|\sstyle=", page.html)


def test_the_viewer_may_load_from_our_own_origin_and_no_other() -> None:
    policy = _policy(docs_page("catalog"))
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in docs_page("catalog").headers["Content-Security-Policy"]
    assert "http" not in docs_page("catalog").headers["Content-Security-Policy"]


def test_text_from_elsewhere_is_escaped() -> None:
    html = _start('<script>alert("1")</script>').html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_start_page_says_what_the_service_is_and_does() -> None:
    html = _start().html
    assert catalog.contract.__doc__ in html
    for each in guide_to("catalog", catalog.contract).operations:
        assert f'href="messages#{each.name}"' in html
        assert re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(each.summary))) in html
    assert "`" not in html
    assert "GET /own" in html


def test_the_pages_say_whether_other_programs_can_publish() -> None:
    assert "Any program that may use the broker" in _start().html
    assert "no other program can publish" in _start(is_embedded=True).html
    assert "no other program can reach" not in _messages().html
    assert "no other program can reach" in _messages(is_embedded=True).html


def test_the_message_page_says_what_an_operation_refuses() -> None:
    html = _messages().html
    assert ProductNotFound.code in html
    assert (ProductNotFound.__doc__ or "") in html


@pytest.mark.parametrize("heading", ["Requests", "Replies"])
def test_the_message_page_names_what_the_wire_document_does(heading: str) -> None:
    wire = (STATIC.parents[3] / "docs/wire.md").read_text(encoding="utf-8")
    told = re.search(rf"^## {heading}$(.*?)^##", wire, re.MULTILINE | re.DOTALL)
    html = _messages().html
    shown = re.search(rf"<h3>{heading}</h3>(.*?)</section>", html, re.DOTALL)
    assert told
    assert shown
    names = re.findall(r"^\| (?:header )?`(\w[\w-]*)`", told[1], re.MULTILINE)
    assert names
    assert sorted(re.findall(r"<tr><td>(?:header )?<code>([^<]+)</code>", shown[1])) == sorted(names)


def test_the_viewer_is_unchanged() -> None:
    sums = dict(reversed(line.split()) for line in (STATIC / "SHA256SUMS").read_text().splitlines())
    files = {str(path.relative_to(STATIC)) for path in STATIC.glob("*/*")}
    assert sums.keys() == files
    for name, expected in sums.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == expected, name


def test_the_files_of_the_docs_page_exist() -> None:
    asked = re.findall(rf'"{VIEWER}/([^"]+)"', docs_page("catalog").html)
    assert sorted(asked) == ["swagger-ui-bundle.js", "swagger-ui.css"]
    for name in asked:
        assert (STATIC / VIEWER.removeprefix("static/") / name).is_file()


def test_the_wheel_has_the_templates_and_static_files() -> None:
    root = STATIC.parents[3]
    packed = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    made_of = [*STATIC.rglob("*"), *STATIC.with_name("templates").rglob("*")]
    assert packed >= {str(path.relative_to(root)) for path in made_of if path.is_file()}
