"""The URL of a mail server: what it means, and errors that do not repeat it."""

from pathlib import Path

import pytest

from auth.mail.smtp_url import MailServer, server_of
from auth.settings import AuthSettings
from bus.runtime.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", MailServer("mail.example.org", 587)),
        ("smtp://mail.example.org:25/", MailServer("mail.example.org", 25)),
        ("smtps://mail.example.org", MailServer("mail.example.org", 465, is_implicit=True)),
        (
            "smtp://ann%40example.org:p%2Fw@mail.example.org?starttls=off",
            MailServer("mail.example.org", 587, user="ann@example.org", password="p/w", starttls="off"),
        ),
        ("smtp://[::1]:2525?starttls=required", MailServer("::1", 2525, starttls="required")),
        ("smtps://h?cacertfile=/x/ca.pem", MailServer("h", 465, is_implicit=True, ca_file="/x/ca.pem")),
    ],
)
def test_a_url_names_a_server(url: str, server: MailServer) -> None:
    assert server_of(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org",
        "http://SECRET.example.org",
        "smtp://",
        "smtp://:587",
        "smtp://user:SE@CRET@host",
        "smtp://user@host",
        "smtp://host:SECRET",
        "smtp://host:99999",
        "smtp://host:0x19",
        "smtp://host/SECRET",
        "smtp://host#SECRET",
        "smtp://host?SECRET=1",
        "smtp://host?starttls=SECRET",
        "smtps://host?starttls=off",
        "smtp://[host",
        "smtp://host?cacertfile=/not/SECRET",
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        _read(AUTH_SMTP_URL=url)
    assert str(error.value).startswith("AUTH_SMTP_URL: ")
    assert "SECRET" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_server_shows_no_password() -> None:
    assert "secret" not in repr(server_of("smtp://user:secret@host"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AUTH_PUBLIC_URL", "accounts.example.org", "a URL such as https://accounts.example.org"),
        ("AUTH_PUBLIC_URL", "https://x.org/?a=1", "without ? and #"),
        ("AUTH_MAIL_FROM", "no address", "address"),
        ("AUTH_MAIL_FROM", "Errand <errand@bücher.example>", "ASCII"),
        ("AUTH_MAIL_TEMPLATES", "/not/there", "a folder"),
        ("AUTH_RESET_MINUTES", "1", "5"),
        ("AUTH_VERIFY_EMAIL", "yes", "one of 0, 1"),
    ],
)
def test_a_wrong_setting_is_named_with_the_remedy(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: .*{said.replace('?', '[?]')}"):
        _read(**{name: value})


def test_right_settings_are_read(tmp_path: Path) -> None:
    read = _read(
        AUTH_SMTP_URL="smtp://h", AUTH_MAIL_FROM="Errand <no-reply@mail.local>", AUTH_MAIL_TEMPLATES=str(tmp_path),
        AUTH_PUBLIC_URL="https://accounts.example.org/app", AUTH_VERIFY_EMAIL="1",
    )  # fmt: skip
    assert (read.smtp_url, read.mail_from, read.verify_email) == ("smtp://h", "Errand <no-reply@mail.local>", True)


def _read(**environment: str) -> AuthSettings:
    own = read_settings(environment, {"auth": 5000}, {"auth": AuthSettings()}).services["auth"].own
    assert isinstance(own, AuthSettings)
    return own
