"""Weak passwords are refused, with a sentence that does not repeat them."""

import pytest

from auth.domain.weak_passwords import weakness_of

WEAK = [
    "password",
    "PASSWORD",
    "12345678",
    "qwertyui",
    "football",
    "ann",
    "Ann",
    "ann@example.com",
    "ann.smith",
    "aaaaaaaaaa",
    "abababababab",
    "passwordpassword",
    "Password1!",
    "abcdefgh12345678",
    "ann.smith1",
    "e\u0301e\u0301e\u0301e\u0301e\u0301",
]
STRONG = ["correct horse battery staple", "tr0ub4dor&3", "🦄🐙🦑🐡🐠🐟🐬🐳", "ann-is-my-name-and-more"]


@pytest.mark.parametrize("password", WEAK)
def test_a_password_that_is_guessed_first_is_weak(password: str) -> None:
    sentence = weakness_of(password, "ann", "ann@example.com") or weakness_of(password, "Ann", "ann.smith@example.com")
    assert sentence.endswith(".")
    assert password not in sentence.replace("common passwords", "")


@pytest.mark.parametrize("password", STRONG)
def test_another_is_not(password: str) -> None:
    assert weakness_of(password, "ann", "ann@example.com") == ""
