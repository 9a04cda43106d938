"""Addresses: which text is one, and which two are the same."""

import pytest

from auth.domain.email import EmailAddress, email_key, is_special
from bus import RuleViolation


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.org", "ADA@Example.ORG"),
        ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
        ("stra\u00dfe@example.org", "STRASSE@example.org"),
        ("\uff21da@example.org", "ada@example.org"),
        ("ada@mail.local", "Ada@MAIL.Local"),
    ],
)
def test_two_spellings_are_one_address(one: str, other: str) -> None:
    assert email_key(one) == email_key(other) == email_key(email_key(one))


@pytest.mark.parametrize("other", ["ada@example.com", "a.da@example.org", "ada+x@example.org", "ada@example.org.local"])
def test_two_mailboxes_are_two_addresses(other: str) -> None:
    assert email_key(other) != email_key("ada@example.org")


def test_the_key_of_a_special_domain_is_its_own() -> None:
    assert email_key("ada@mail.local") == "ada@mail.local"
    assert email_key("ada@mail.local.example") == "ada@mail.local.example"


@pytest.mark.parametrize(
    "email", ["ada", "ada@", "@example.org", "a da@example.org", "ada@exa mple.org", "ada@-x.local"]
)
def test_other_text_is_no_address(email: str) -> None:
    with pytest.raises(RuleViolation) as violation:
        EmailAddress().check(email)
    assert violation.value.code == "invalid-email"


@pytest.mark.parametrize(
    ("email", "special"),
    [("a@mail.local", True), ("a@localhost", True), ("a@example.org", False)],
)
def test_a_domain_of_a_private_network_is_special(email: str, special: bool) -> None:
    EmailAddress().check(email)
    assert is_special(email) is special
