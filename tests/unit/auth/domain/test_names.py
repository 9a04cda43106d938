"""Names that differ only in case or in compatibility forms are the same."""

import pytest

from auth.domain.names import comparison_key


@pytest.mark.parametrize("other", ["ADA", "Ada", "\uff21da", "\u1d2cda"])
def test_case_and_compatibility_forms_are_folded_away(other: str) -> None:
    assert comparison_key(other) == comparison_key("ada")


def test_a_letter_that_folds_into_two_is_the_same_as_the_two() -> None:
    assert comparison_key("STRASSE") == comparison_key("stra\u00dfe")


def test_a_key_folded_again_is_the_same_key() -> None:
    assert comparison_key(comparison_key("\u212b\u0345")) == comparison_key("\u212b\u0345")


@pytest.mark.parametrize("other", ["adam", "\u00e1da", "a da"])
def test_other_letters_make_another_name(other: str) -> None:
    assert comparison_key(other) != comparison_key("ada")
