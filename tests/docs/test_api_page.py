"""docs/api.md has every public name, as its docstring describes it now."""

from support.api_page import PACKAGES, PAGE, api_page


def test_the_page_of_public_names_is_what_their_docstrings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == api_page(), "write it again: python tests/support/api_page.py"


def test_every_public_package_is_on_it() -> None:
    assert [f"## {name}" for name in PACKAGES if f"## {name}\n" not in api_page()] == []
