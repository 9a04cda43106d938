"""Tokens of mails: made again from id, purpose and end, and from nothing else."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.mail_tokens import is_token, mail_id_in, token_of

ID, KEY, ENDS_AT = "00" * 15 + "ff", b"k" * 32, datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_a_token_names_its_mail_and_goes_into_a_link() -> None:
    token = token_of(ID, "reset", ENDS_AT, KEY)
    assert (len(token), mail_id_in(token)) == (64, ID)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert is_token(token, ID, "reset", ENDS_AT, KEY)
    assert is_token(token, ID, "reset", ENDS_AT + timedelta(microseconds=1), KEY)


@pytest.mark.parametrize(
    ("mail_id", "purpose", "ends_at", "key"),
    [
        ("11" * 16, "reset", ENDS_AT, KEY),
        (ID, "verify", ENDS_AT, KEY),
        (ID, "reset", ENDS_AT + timedelta(seconds=1), KEY),
        (ID, "reset", ENDS_AT, b"l" * 32),
    ],
)
def test_everything_in_it_counts(mail_id: str, purpose: str, ends_at: datetime, key: bytes) -> None:
    assert not is_token(token_of(ID, "reset", ENDS_AT, KEY), mail_id, purpose, ends_at, key)


@given(st.text(max_size=80))
def test_any_other_text_is_no_token(text: str) -> None:
    assert mail_id_in(text) is None or len(text) == 64
    assert not is_token(text.encode("utf-8", "replace").decode(), ID, "reset", ENDS_AT, KEY)
