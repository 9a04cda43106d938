"""User names: which text is one, and which two are the same."""

import pytest

from auth.domain.names import UserName, username_key
from bus import RuleViolation


@pytest.mark.parametrize("other", ["ADA", "Ada", "\uff21da"])
def test_case_and_width_are_mapped(other: str) -> None:
    assert username_key(other) == username_key("ada")


@pytest.mark.parametrize("other", ["adam", "\u00e1da", "a.da", "a-da", "\u0430da"])
def test_other_letters_make_another_name(other: str) -> None:
    assert username_key(other) != username_key("ada")


@pytest.mark.parametrize(
    "name", ["ada", "stra\u00dfe", "\u4f60\u597d", "ada.l-o_v+e", "42", "O'Neill", "\u05d0\u05d1\u05d2"]
)
def test_letters_digits_and_visible_signs_make_a_name(name: str) -> None:
    UserName().check(name)
    assert username_key(username_key(name)) == username_key(name)


@pytest.mark.parametrize(
    "name",
    [
        "ada@example",
        "ada lovelace",
        " ada",
        "ada\u200d",
        "a\u00adda",
        "\u200bada",
        "\ufb00",
        "\u2177",
        "a\u202eda",
        "ada\u3164",
        "\u0627da",
    ],
)
def test_other_text_is_no_name(name: str) -> None:
    with pytest.raises(RuleViolation) as violation:
        UserName().check(name)
    assert violation.value.code == "invalid-username"
