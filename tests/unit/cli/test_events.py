"""Lines of `bus events tail`: one line for each event, whatever was published."""

import json
from datetime import UTC, datetime

import pytest

from bus.cli.events import json_of, line_of
from bus.messaging.message import Message

NOON = datetime(2026, 11, 25, 12, 0, 0, 7000, UTC)


def _event(body: bytes, name: str | None = "emitter.word_added") -> Message:
    return Message(queue="bus.watch.1", body=body, type=name, message_id="id-1")


def test_a_line_has_time_name_id_and_body() -> None:
    assert line_of(_event(b'{"a":1}'), NOON) == '2026-11-25T12:00:00.007Z  emitter.word_added  id-1  {"a":1}'


@pytest.mark.parametrize("body", [b"\x1b[2J", b"a\nb", b"a\rb", b"\xff\x00", "a\u2028b".encode()])
def test_no_control_character_reaches_a_terminal(body: bytes) -> None:
    line = line_of(_event(body, name="\x1b]0;x\x07"), NOON)
    assert line.isprintable()
    assert line.startswith("2026-11-25")


def test_what_has_no_name_still_has_a_line() -> None:
    assert line_of(_event(b"{}", name=None), NOON) == "2026-11-25T12:00:00.007Z  -  id-1  {}"


@pytest.mark.parametrize(
    ("body", "shown"), [(b'{"price": 9.90}', {"price": 9.9}), (b'{\n"a": 1}', {"a": 1}), (b"no json", "no json")]
)
def test_a_line_of_json_holds_the_body_as_it_is_or_as_text(body: bytes, shown: object) -> None:
    line = json_of(_event(body), NOON)
    assert "\n" not in line
    assert json.loads(line) == {
        "received_at": "2026-11-25T12:00:00.007Z",
        "name": "emitter.word_added",
        "id": "id-1",
        "body": shown,
    }


def test_the_digits_of_a_number_are_kept() -> None:
    assert "9.90" in json_of(_event(b'{"price":9.90}'), NOON)
