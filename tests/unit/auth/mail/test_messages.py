"""Messages, their templates, and files of them."""

import email
from datetime import UTC, datetime
from email.policy import default
from pathlib import Path

import pytest

from auth.mail.files import FileSender
from auth.mail.message import Letter, envelope_of, message_of
from auth.mail.outcomes import MailPostponed
from auth.mail.templates import OURS, Templates, Words

VALUES = {
    "username": "Ann",
    "address": "ann@example.org",
    "link": "https://x.org/email/verify?token=" + "t" * 64,
    "token": "t" * 64,
    "life": "24 hours",
}
MADE_AT = datetime(2030, 1, 31, 12, tzinfo=UTC)
NAMES = ("verify", "reset", "taken", "changed", "password", "totp_on", "totp_off")


def _letter(to: str = "ann@example.org", sender: str = "Errand <errand@example.com>") -> Letter:
    return Letter("0123456789abcdef", to, sender, MADE_AT)


@pytest.mark.parametrize("name", NAMES)
def test_each_of_our_mails_has_a_subject_and_two_parts(name: str) -> None:
    words = Templates("").words(name, VALUES)
    assert words.subject
    assert "Subject" not in words.text
    for part in (words.text, words.html):
        assert "Ann" in part
        assert "{" not in part
    for part in (words.text, words.html):
        assert (VALUES["token"] in part.replace(VALUES["link"], "")) == (name in ("verify", "reset"))


def test_every_template_is_one_of_a_mail() -> None:
    assert sorted(file.name for file in OURS.iterdir()) == sorted(f"{n}.{k}" for n in NAMES for k in ("txt", "html"))


def test_html_is_escaped_and_text_is_not() -> None:
    words = Templates("").words("verify", {**VALUES, "username": "<b>&Ann"})
    assert "Hello <b>&Ann," in words.text
    assert "Hello &lt;b&gt;&amp;Ann," in words.html


def test_an_operators_template_takes_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "verify.txt").write_text("Subject: Willkommen {{ username }}\n\nGrüße! {{ link }}\n")
    words = Templates(str(tmp_path)).words("verify", VALUES)
    assert (words.subject, words.text) == ("Willkommen Ann", f"Grüße! {VALUES['link']}\n")
    assert words.html == Templates("").words("verify", VALUES).html
    assert Templates(str(tmp_path)).words("reset", VALUES) == Templates("").words("reset", VALUES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello", "verify.txt must begin with the line Subject:"),
        ("Subject: x\n\n{{ nmae }}", "verify.txt: UndefinedError: 'nmae' is undefined"),
        ("Subject: x\n\n{% if %}", "verify.txt, line 3: TemplateSyntaxError"),
    ],
)
def test_a_template_with_an_error_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "verify.txt").write_text(text)
    with pytest.raises(MailPostponed, match=said):
        Templates(str(tmp_path)).words("verify", VALUES)


def test_no_header_can_be_added() -> None:
    subject = "x\r\nBcc: eve@example.org"
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        message_of(_letter(), Words(subject, "x\n", "x"))


def test_links_and_tokens_stay_whole_in_the_file(tmp_path: Path) -> None:
    words = Templates("").words("reset", {**VALUES, "username": "Änn"})
    with FileSender(tmp_path / "mail") as sender:
        path = Path(sender.send(message_of(_letter(), words), "name"))
        assert sender.send(message_of(_letter(), words), "name") == str(path)
    assert path == tmp_path / "mail" / "name.eml"
    assert [file.name for file in path.parent.iterdir()] == ["name.eml"]
    raw = path.read_bytes()
    assert raw.count(VALUES["link"].encode()) == 3
    message = email.message_from_bytes(raw, policy=default)
    assert (message["From"], message["To"]) == ("Errand <errand@example.com>", "ann@example.org")
    assert (message["Subject"], message["Message-ID"]) == (words.subject, "<0123456789abcdef@example.com>")
    assert message["Date"].datetime == MADE_AT
    part = message.get_body(("plain",))
    assert part is not None
    assert part.get_content().replace("\r\n", "\n") == words.text
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_address_that_is_not_ascii_is_kept_in_the_file(tmp_path: Path) -> None:
    message = message_of(_letter("änn@xn--bcher-kva.example"), Words("x", "x\n", "x"))
    assert envelope_of(message) == ("errand@example.com", "änn@xn--bcher-kva.example")
    raw = Path(FileSender(tmp_path).send(message, "name")).read_bytes()
    assert "To: änn@xn--bcher-kva.example".encode() in raw


def test_a_folder_that_cannot_be_written_postpones_the_mail(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(MailPostponed, match=r"name\.eml cannot be written: "):
        FileSender(tmp_path / "mail").send(message_of(_letter(), Words("x", "x\n", "x")), "name")
