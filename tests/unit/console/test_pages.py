"""The pages of dead letters, as an operator without a browser gets them."""

import html
import json
import re
from typing import Any

import pytest
from support.dead_letters import LETTER_KEY, letters_in, store_dead_letters
from support.hostile_text import HOSTILE, check_shown_as_text
from support.html_page import HtmlPage

from bus.console.replays import MAX_RUNNING, Running
from bus.contract.operator.dead_letters import DeadLetterFilter, GroupName
from bus.database.engine import Database
from bus.dead_letters.envelope import Fault, dead_letter
from bus.messaging.message import MAX_BODY_BYTES, Message
from bus.testing.waiting import wait_until
from catalog.handlers import catalog

LAMP = json.dumps({"name": "Lamp", "price": 9.9, "quantity": 3})
LETTERS = "/dead-letters/catalog"
WAIT_SECONDS = 30.0


def _store(database: Database, *requests: Message, fault: Fault | None = None, detail: str = "Why.") -> None:
    letters = [
        dead_letter(each, "catalog", each.body, key=LETTER_KEY, reason="fault", detail=detail, fault=fault)
        for each in requests
    ]
    store_dead_letters(database, catalog, *letters)


def _request(message_id: str, body: str = LAMP, queue: str = "catalog.create_product") -> Message:
    return Message(queue=queue, body=body.encode("utf-8", "backslashreplace"), message_id=message_id)


def _states(database: Database) -> list[str]:
    return [letter.state for letter in letters_in(database)]


def test_letters_are_grouped_filtered_and_paged(operating: Any, database: Database) -> None:
    operating.enter()
    assert "None." in operating.get("/dead-letters")
    _store(database, *(_request(f"order-{number}") for number in range(60)))
    _store(database, _request("other", queue="catalog.delete_product"), fault=Fault("KeyError", "Traceback"))
    groups = operating.get("/dead-letters")
    assert f"{LETTERS}?in_operation=catalog.delete_product&amp;in_reason=fault&amp;in_error_class=KeyError" in groups
    page = operating.get(LETTERS)
    HtmlPage(page)
    assert "61 match; 61 of them can be sent again" in page
    assert "order-59" in page
    assert "order-9<" not in page
    (following,) = re.findall(r'href="(\?[^"]*after=[0-9]+)"', page)
    assert "order-9<" in operating.get(f"{LETTERS}{following}")
    found = operating.get(f"{LETTERS}?operation=catalog.delete_product&error=KeyError")
    assert "1 matches; 1 of them" in found
    assert "order-59" not in found
    assert "order-7<" in operating.get(f"{LETTERS}?which=order-7")
    assert operating.get(f"{LETTERS}?state=nothing", 400)
    assert operating.get("/dead-letters/nothing", 404)
    assert "There is no such dead letter" in operating.get(f"{LETTERS}/letters/4711", 404)


def test_a_link_of_a_group_leads_to_exactly_the_group(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, _request("known"), _request("lost", queue="catalog.nothing"))
    _store(database, _request("known-too"), fault=Fault("KeyError", "Traceback"))
    links = re.findall(rf'href="({LETTERS}\?[^"]+)"', operating.get("/dead-letters"))
    assert len(links) == 3
    for link in links:
        page = operating.get(html.unescape(link))
        HtmlPage(page)
        assert "1 matches; " in page, link
        everything = page.rpartition('<form method="post"')[2]
        form = dict(re.findall(r'<input type="hidden" name="((?:in_|state|up_to)[^"]*)" value="([^"]*)"', everything))
        assert "Discard 1 dead letter of" in operating.post(f"{LETTERS}/preview", kind="discard", **form).text
    group = GroupName(operation="", reason="fault", error_class="")
    assert str(DeadLetterFilter(group=group)) == "group of fault"


def test_what_was_previewed_is_replayed_and_nothing_that_came_since(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, _request("order-1"), _request("order-2", "x" * 300_000), _request("order-3"))
    newest = letters_in(database)[-1].id
    preview = operating.post(f"{LETTERS}/preview", kind="replay", state="dead", up_to=newest).text
    HtmlPage(preview)
    assert "Send again 2 dead letters of catalog?" in preview
    assert "1 cannot be sent again as it is" in preview
    _store(database, _request("later"))
    form = {"kind": "replay", "state": "dead", "up_to": newest, "rate": 50, "reason": "it is mended"}
    begun = operating.post(f"{LETTERS}/actions", **form)
    assert (begun.status_code, begun.location) == (303, "/actions/catalog/1")
    wait_until(lambda: "All are done." in operating.get(begun.location), WAIT_SECONDS, "it is done")
    page = operating.get(begun.location)
    HtmlPage(page)
    assert "2 of 2 sent" in page
    assert "it is mended" in page
    assert _states(database) == ["replayed", "dead", "replayed", "dead"]
    actions = operating.get("/actions?service=catalog")
    assert "the console&#39;s token (console)" in actions
    again = operating.post(f"{LETTERS}/actions", **form)  # as another operator on the same preview
    assert again.status_code == 303
    assert _states(database) == ["replayed", "dead", "replayed", "dead"]


def test_a_growing_replay_stops_by_itself_and_one_letter_is_mended(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, _request("order-1", '{"name": "Lamp", "price": -1, "quantity": 3}'), _request("order-2"))
    ids = [letter.id for letter in letters_in(database)]
    begun = operating.post(f"{LETTERS}/actions", kind="replay", state="dead", ids=ids, rate=50, growing="on")
    wait_until(lambda: "so the others were not sent" in operating.get(begun.location), WAIT_SECONDS, "it has stopped")
    page = operating.get(begun.location)
    assert "1 of them became a dead letter again" in page
    assert "Go on with the 1 that is left" in page
    operating.post(f"{begun.location}/resume", rate=50)
    wait_until(lambda: "2 of 2 sent" in operating.get(begun.location), WAIT_SECONDS, "it has gone on")
    (dead,) = letters_in(database, state="dead")
    letter = f"{LETTERS}/letters/{dead.id}"
    assert "out-of-range" in operating.get(letter)
    wrong = operating.post(f"{letter}/edit", body='{"name": "Lamp", "price": "cheap", "quantity": 3}')
    assert wrong.status_code == 422
    assert "<code>price</code>: Expected number, 0 to" in wrong.text
    assert "&#34;cheap&#34;" in wrong.text  # what was typed is still there
    HtmlPage(wrong.text)
    assert operating.post(f"{letter}/edit", body="{").status_code == 422
    mended = operating.post(f"{letter}/edit", body=LAMP, reason="a typing error")
    wait_until(lambda: "All are done." in operating.get(mended.location), WAIT_SECONDS, "it is done")
    assert not letters_in(database, state="dead")


def test_a_discard_has_a_reason_and_a_stopped_replay_keeps_the_rest(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, *(_request(f"order-{number}") for number in range(40)))
    first = letters_in(database)[0].id
    assert "Discard 1 dead letter of catalog?" in operating.post(f"{LETTERS}/preview", kind="discard", ids=first).text
    discarded = operating.post(f"{LETTERS}/actions", kind="discard", ids=first, reason="ordered twice")
    assert discarded.location == "/actions?service=catalog"
    assert "ordered twice" in operating.get(discarded.location)
    assert _states(database).count("discarded") == 1
    begun = operating.post(f"{LETTERS}/actions", kind="replay", state="dead", rate=1)
    operating.post(f"{begun.location}/stop")
    wait_until(lambda: "Go on with the" in operating.get(begun.location), WAIT_SECONDS, "it has stopped")
    assert _states(database).count("chosen") >= 37
    assert operating.post(f"{LETTERS}/preview", kind="nothing").status_code == 400


def test_where_nothing_is_chosen_nothing_is_taken(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, _request("order-1"), _request("order-2"))
    (picked,) = re.findall(r'<form method="post" action="[^"]*/preview">(.*?)</form>', operating.get(LETTERS), re.S)
    form = dict(re.findall(r'<input type="hidden" name="(state|picked)" value="([^"]+)"', picked))
    for kind in ("replay", "discard"):
        unticked = operating.post(f"{LETTERS}/preview", kind=kind, **form)
        assert unticked.status_code == 400
        assert "Nothing is selected. Go back and tick the letters." in unticked.text
    for first in ("two", "0", "-1", "1.5", "100001"):
        begun = operating.post(f"{LETTERS}/actions", kind="replay", state="dead", rate=50, first=first)
        assert (begun.status_code, "is a number from 1 to 100000" in begun.text) == (400, True), first
    unexplained = operating.post(f"{LETTERS}/actions", kind="discard", state="dead", reason=" ")
    assert (unexplained.status_code, "A discard has a reason" in unexplained.text) == (400, True)
    assert f'href="{LETTERS}/actions">Try again' not in unexplained.text  # it would not be the same
    assert _states(database) == ["dead", "dead"]


def test_no_letters_are_taken_while_no_replay_has_room(operating: Any, database: Database) -> None:
    operating.enter()
    _store(database, _request("order-1"))
    for number in range(MAX_RUNNING):
        operating.console.replays._running["catalog", -number] = Running(None)  # type: ignore[arg-type]  # none is driven
    begun = operating.post(f"{LETTERS}/actions", kind="replay", state="dead", rate=50)
    assert (begun.status_code, f"{MAX_RUNNING} replays run already" in begun.text) == (400, True)
    letter = f"{LETTERS}/letters/{letters_in(database)[0].id}"
    assert operating.post(f"{letter}/edit", body=LAMP).status_code == 400
    assert _states(database) == ["dead"]


def test_what_another_operator_has_handled_is_said_so(operating: Any, database: Database) -> None:
    operating.enter()
    assert "Nothing is known yet" in operating.get("/")
    assert "All is well" not in operating.get("/")
    _store(database, _request("order-1"), _request("cut", "x" * 300_000))
    first, cut = (letter.id for letter in letters_in(database))
    nothing = operating.post(f"{LETTERS}/actions", kind="replay", state="dead", ids=cut, rate=50)
    assert "It took no letter" in operating.get(nothing.location)
    assert "All are done." not in operating.get(nothing.location)
    for status in (303, 409):
        discarded = operating.post(f"{LETTERS}/actions", kind="discard", ids=first, reason="ordered twice")
        assert (discarded.status_code, "another operator has handled them" in discarded.text) == (status, status == 409)
    edited = operating.post(f"{LETTERS}/letters/{first}/edit", body=LAMP)
    assert edited.status_code == 422
    assert "It is not dead any more: another operator has handled it." in edited.text


def test_an_open_overview_ends_when_the_console_stops(operating: Any) -> None:
    operating.enter()
    operating.console.start()
    stream = operating.http.get("/live").response
    assert next(stream) == b"retry: 500\n"
    assert next(stream).startswith(b"data: ")
    operating.console.stop()
    assert next(stream, None) is None


def test_hostile_text_is_shown_as_text_wherever_it_stands(operating: Any, database: Database) -> None:
    operating.enter()
    for number, text in enumerate(HOSTILE):
        words = re.sub(r"[^\x21-\x7e]", "_", text)[:255]
        body = json.dumps({"name": text, text: 1})
        _store(database, _request(words, body), fault=Fault(text, text), detail=text)
        _store(database, _request(f"{number}", text, queue=f"catalog.{text}"[:200]), detail=text)
    paths = ["/dead-letters", LETTERS, f"{LETTERS}?{'error=' + '%3Cscript%3Ealert(1)%3C/script%3E'}"]
    paths += [f"{LETTERS}/letters/{letter.id}" for letter in letters_in(database)]
    operating.post(f"{LETTERS}/actions", kind="discard", ids=letters_in(database)[0].id, reason=HOSTILE[0])
    paths += ["/actions", "/actions?service=catalog"]
    for path in paths:
        check_shown_as_text(operating.get(path), path)


def test_the_filter_that_is_recorded_is_what_was_chosen() -> None:
    assert str(DeadLetterFilter(ids=[3, 4], state="dead")) == "--id 3 --id 4"


LONGEST = MAX_BODY_BYTES - 1  # one that is as long as the limit was cut, or may have been


@pytest.mark.parametrize("value", ["4.0,", '"ä",', "[[[[[[],[]]]]]],"])
@pytest.mark.parametrize("length", [LONGEST, LONGEST * 4 // 9])  # as it is, and indented to just this length
def test_the_longest_letter_can_be_edited_as_a_browser_sends_it(
    operating: Any, database: Database, value: str, length: int
) -> None:
    operating.enter()
    head, tail = '{"name":"Lamp","price":9.9,"quantity":3,"tags":[', "0]}"
    count = (length - len(head) - len(tail)) // len(value.encode())
    body = f"{head}{value * count}{tail}"
    _store(database, _request("order-1", f"{body}{' ' * (length - len(body.encode()))}"))
    edited = _edited_in_a_browser(operating, database)
    # Its tags are no texts: it has been read as a whole.
    assert (edited.status_code, "<code>tags" in edited.text) == (422, True)


def test_a_letter_that_its_replaced_characters_make_too_long_is_shown_again_and_says_so(
    operating: Any, database: Database
) -> None:
    operating.enter()
    _store(database, _request("order-1", "\x7f" * LONGEST))
    edited = _edited_in_a_browser(operating, database)
    assert (edited.status_code, "A body may have 262144 bytes" in edited.text) == (422, True)


def _edited_in_a_browser(operating: Any, database: Database) -> Any:
    (letter,) = letters_in(database)
    page = operating.get(f"{LETTERS}/letters/{letter.id}")
    (shown,) = re.findall(r'<textarea name="body"[^>]*>([^<]*)</textarea>', page)
    (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
    form = {"csrf": csrf, "body": html.unescape(shown).replace("\n", "\r\n")}
    return operating.http.post(f"{LETTERS}/letters/{letter.id}/edit", data=form, content_type="multipart/form-data")
