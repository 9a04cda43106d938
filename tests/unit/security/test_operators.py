"""Operators: a request is theirs if it was signed with the installation's token, as it is and just now."""

import os
import stat
import time
from pathlib import Path

import pytest
from msgspec import structs

from bus.contract.identity import NotAuthorized
from bus.messaging.message import Message
from bus.security.operators import FRESH_SECONDS, TOKEN_FILE, Operator, Operators, stored_token

TOKEN = "the operator token"
ANN = Operator("ann@here", TOKEN)


def _message(operator: Operator = ANN, body: bytes = b"{}", **changed: object) -> Message:
    signature = operator.signature("catalog.get_state", "1", body)
    message = Message(queue="catalog.get_state", body=body, message_id="1", headers={"authorization": signature})
    return structs.replace(message, **changed)


def test_an_operator_is_known_by_the_token_and_named() -> None:
    assert Operators(TOKEN).caller_of(_message()).id == "ann@here"


@pytest.mark.parametrize(
    "message",
    [
        _message(Operator("ann@here", "another token")),
        _message(body=b'{"changed":1}', headers=_message().headers),
        _message(message_id="2"),
        _message(queue="catalog.take_dead_letters"),
        _message(headers={}),
        _message(headers={"authorization": 7}),
        _message(headers={"authorization": "Operator"}),
        _message(headers={"authorization": f"Bearer {TOKEN}"}),
        _message(headers={"authorization": f"Operator {TOKEN}"}),
        _message(headers={"authorization": "Operator \ud800.\ud800"}),
    ],
)
def test_any_other_message_is_refused(message: Message) -> None:
    with pytest.raises(NotAuthorized, match="sign it with"):
        Operators(TOKEN).caller_of(message)


def test_an_old_signature_and_a_worker_without_a_token_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAuthorized, match="no operator token"):
        Operators().caller_of(_message(Operator("ann", "")))
    message, now = _message(), time.time()
    for moved in (FRESH_SECONDS + 10, -FRESH_SECONDS - 10):
        monkeypatch.setattr(time, "time", lambda moved=moved: now + moved)
        with pytest.raises(NotAuthorized, match="minutes ago"):
            Operators(TOKEN).caller_of(message)


def test_a_token_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert stored_token(folder, make=False) == ""
    token = stored_token(folder, make=True)
    assert len(token) == 64
    assert stored_token(folder, make=True) == stored_token(folder, make=False) == token
    assert [file.name for file in folder.iterdir()] == [TOKEN_FILE]
    assert stat.S_IMODE((folder / TOKEN_FILE).stat().st_mode) == 0o600
    (tmp_path / "file").touch()
    assert stored_token(tmp_path / "file", make=True) == ""


def test_a_token_is_not_written_where_another_account_has_laid_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / f".{TOKEN_FILE}.{os.getpid()}").symlink_to(elsewhere)
    assert len(stored_token(folder, make=True)) == 64
    assert elsewhere.read_text() == ""
