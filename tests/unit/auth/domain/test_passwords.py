"""Passwords: what is compared, and when a hash is made again."""

import argon2
import pytest

from auth.domain.passwords import hash_password, is_password, needs_new_hash

PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize(
    ("one", "other"),
    [("cafe\u0301 au lait", "caf\u00e9 au lait"), ("correct\u00a0horse", "correct horse"), ("x" * 1024, "x" * 1024)],
)
def test_one_password_in_two_forms_is_the_same(one: str, other: str) -> None:
    assert is_password(other, hash_password(one))


@pytest.mark.parametrize("other", ["Correct horse battery staple", "correct horse battery staple ", "x" * 1024, ""])
def test_every_character_counts(other: str) -> None:
    assert not is_password(other, hash_password(PASSWORD))
    assert not is_password("x" * 1023 + "y", hash_password("x" * 1024))


def test_no_password_is_that_of_an_account_that_does_not_exist() -> None:
    assert not is_password("There is no account with this password.", None)
    assert not is_password(PASSWORD, "no hash")


def test_a_hash_of_other_parameters_is_made_again() -> None:
    assert not needs_new_hash(hash_password(PASSWORD))
    weaker = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    assert is_password(PASSWORD, weaker)
    assert needs_new_hash(weaker)
