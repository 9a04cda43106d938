"""Texts that people can see, in names of services and by the property of Unicode."""

import re
import unicodedata

import pytest
from msgspec import UNSET
from precis_i18n.unicode import UnicodeData

from auth.contract import ImportUsers, Register, UpdateAccount
from bus import READABLE, VISIBLE, Invalid
from bus.contract.validation import accept
from catalog.contract import CreateProduct

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
BRAND_NEW = "\U0001fae8"  # not known to the Unicode of Python 3.11
SEEN = [
    "Lamp",
    " Lamp ",
    "Лампа",
    "灯",
    "👨\u200d👩",
    "❤\ufe0f",
    ENGLAND,
    "e\u0301",
    "-",
    "\u2801\u2800\u2803",
    BRAND_NEW,
]
NOT_SEEN = [
    " ",
    "   ",
    "\u00a0",
    "\u200b",
    "\u200b \u2060",
    "\ufeff",
    "\u3000",
    "\u3164",
    "\u2800",
    "\u00ad",
    "\u202e",
    "\ufe0f\ufe0e",
    "\u180b",
    ENGLAND[1:],
    "\U000e0100",
    "\U000e0fff",
    "\U0001d173",
    "\U0001d159",
]


@pytest.mark.parametrize("name", SEEN)
def test_a_name_that_can_be_seen_is_accepted(name: str) -> None:
    assert accept({"name": name, "price": 1, "quantity": 1}, CreateProduct).name == name
    assert accept({"display_name": name}, UpdateAccount).display_name == name


@pytest.mark.parametrize("name", NOT_SEEN, ids=ascii)
def test_a_name_of_blanks_or_invisible_characters_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="Expected text, 1 to 200 characters, not only blanks and invisible") as refused:
        accept({"name": name, "price": 1, "quantity": 1}, CreateProduct)
    assert refused.value.problem.status == 422
    for user in ({"display_name": name}, {"username": name}):
        with pytest.raises(Invalid):
            accept(user, UpdateAccount)
    with pytest.raises(Invalid, match=r"/users/0/display_name|not only blanks"):
        accept({"users": [{"username": "ada", "email": "ada@example.org", "display_name": name}]}, ImportUsers)
    with pytest.raises(Invalid):
        accept({"username": name, "email": "ada@example.org", "password": "correct horse battery"}, Register)


def test_a_display_name_may_be_empty_and_a_name_of_a_product_not() -> None:
    assert accept({"display_name": ""}, UpdateAccount).display_name == ""
    assert accept({}, UpdateAccount).display_name is UNSET
    with pytest.raises(Invalid):
        accept({"name": "", "price": 1, "quantity": 1}, CreateProduct)


def test_what_shows_nothing_is_what_unicode_calls_default_ignorable_and_white_space() -> None:
    """And the two symbols that are blank by their names."""
    ignorable, readable = UnicodeData().default_ignorable, re.compile(str(READABLE.pattern))
    points = [point for point in range(0xA0, 0x110000) if not 0xD800 <= point <= 0xDFFF]
    blank = {point for point in points if chr(point).isspace()} | {0x2800, 0x1D159}
    assert {unicodedata.name(chr(point)) for point in (0x2800, 0x1D159)} == {
        "BRAILLE PATTERN BLANK",
        "MUSICAL SYMBOL NULL NOTEHEAD",
    }
    found = {point for point in points if not readable.search(chr(point))}
    assert found == {point for point in points if ignorable(point)} | blank


@pytest.mark.parametrize("text", ["a ", "a\u200db", "❤\ufe0f", ENGLAND, "a\u3000b"], ids=ascii)
def test_a_text_in_which_all_can_be_seen_has_nothing_invisible(text: str) -> None:
    assert not re.search(str(VISIBLE.pattern), text)
    assert re.search(str(VISIBLE.pattern), "a b")
