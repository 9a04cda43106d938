"""Names: people can see them."""

import pytest

from bus import Invalid
from bus.contract.validation import accept
from catalog.contract import CreateProduct

SEEN = ["Lamp", " Lamp ", "Лампа", "灯", "👨\u200d👩", "e\u0301", "-", "\u2801\u2800\u2803"]
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
]


@pytest.mark.parametrize("name", SEEN)
def test_a_name_that_can_be_seen_is_accepted(name: str) -> None:
    assert accept({"name": name, "price": 1, "quantity": 1}, CreateProduct).name == name


@pytest.mark.parametrize("name", NOT_SEEN)
def test_a_name_of_blanks_or_invisible_characters_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="Expected text, 1 to 200 characters, not only blanks") as refused:
        accept({"name": name, "price": 1, "quantity": 1}, CreateProduct)
    assert refused.value.problem.status == 422
