"""Mails: write and send those that wait. No transaction is open while the mail server is asked."""

import time
from datetime import timedelta
from email.message import EmailMessage
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from sqlalchemy import Row

from auth.domain.email import deliverable
from auth.handlers.service import auth, settings
from auth.mail.files import FileSender
from auth.mail.message import Letter, message_of
from auth.mail.outcomes import MailPostponed, MailRefused
from auth.mail.smtp import SmtpSender
from auth.mail.smtp_url import server_of
from auth.mail.templates import Templates
from auth.storage import mails, registrations
from auth.storage.recipients import resolve
from bus import Job, Work
from bus.database import now

LOOK_SECONDS = 1.0
# One run ends after this time and the last mail: well within HANDLER_SECONDS.
RUN_SECONDS = 15.0
# A mail that was sent is marked within this time, even if the database is away for a moment: without the mark it would
# be sent a second time.
MARK_SECONDS = 15.0
PURGE_SECONDS = 600.0
MOST_PURGED = 500

# What follows on the public URL in the links of mails; a token stands at the end.
_PATHS = {
    "verify": "/email/verify?token=",
    "reset": "/password/reset?token=",
    **dict.fromkeys(("taken", "password", "totp_on", "totp_off"), "/password/forgot"),
}

log = structlog.get_logger("auth.mail")


class Prepared(NamedTuple):
    """A mail that this worker sends. The token is empty for one that has none."""

    row: Row[Any]
    username: str
    token: str


@auth.job(LOOK_SECONDS, when=mails.due)
def send_mails(job: Job) -> None:
    """Send what waits, one after another over one connection."""
    ends_at = time.monotonic() + RUN_SECONDS
    with _sender() as sender:
        while not job.is_stopping and time.monotonic() < ends_at:
            with job.transaction() as work:
                row = mails.take(work.connection)
                prepared = None if row is None else _prepared(work, row)
            if row is None:
                return
            if prepared is not None:
                state, error = _send(sender, prepared)
                job.insist(partial(_mark, row=prepared.row, state=state, error=error), MARK_SECONDS)


@auth.every(PURGE_SECONDS)
def purge_mails(work: Work) -> None:
    """Delete mails and registrations that are over."""
    mails.purge(work.connection, MOST_PURGED)
    registrations.purge(work.connection, MOST_PURGED)


def _prepared(work: Work, row: Row[Any]) -> Prepared | None:
    """A mail to send; None for one that needs no sending any more, which is marked."""
    if row.ends_at <= now(work.connection):
        _give_up(work, row, row.error or "It was not sent before its end.")
        return None
    if (resolved := resolve(work.connection, row)) is None:
        mails.mark(work.connection, row, "dropped")
        return None
    row, username = resolved
    return Prepared(row, username, mails.token(work.connection, row) if row.kind in ("verify", "reset") else "")


def _send(sender: FileSender | SmtpSender, prepared: Prepared) -> tuple[str, str]:
    """What became of it, as the state of its row, and why if it was not sent."""
    row, began = prepared.row, time.monotonic()
    try:
        where = sender.send(_message(prepared), f"{row.made_at:%Y%m%dT%H%M%SZ}-{row.kind}-{row.id[:8]}")
    except MailRefused as refused:
        error = _without_token(refused, prepared)
        log.error("mail_given_up", mail=row.id, kind=row.kind, tries=row.tries, reason=error)
        return "failed", error
    except MailPostponed as postponed:
        error, seconds = _without_token(postponed, prepared), mails.pause_after(row.tries).total_seconds()
        log.warning("mail_postponed", mail=row.id, kind=row.kind, tries=row.tries, seconds=seconds, reason=error)
        return "waiting", error
    ms = round((time.monotonic() - began) * 1000)
    log.info("mail_sent", mail=row.id, kind=row.kind, tries=row.tries, to=where, ms=ms)
    return "sent", ""


def _without_token(failure: Exception, prepared: Prepared) -> str:
    """A server, or a filter behind it, may repeat what it does not like."""
    return str(failure).replace(prepared.token, "…") if prepared.token else str(failure)


def _mark(work: Work, *, row: Row[Any], state: str, error: str) -> None:
    mails.mark(work.connection, row, state, error)


def _give_up(work: Work, row: Row[Any], error: str) -> None:
    mails.mark(work.connection, row, "failed", error)
    log.error("mail_given_up", mail=row.id, kind=row.kind, tries=row.tries - 1, reason=error)


def _message(prepared: Prepared) -> EmailMessage:
    """Raises MailPostponed."""
    row, public_url = prepared.row, settings().public_url.rstrip("/")
    values = {
        "username": prepared.username,
        "address": row.address,
        "link": public_url + _PATHS.get(row.kind, "") + prepared.token,
        "token": prepared.token,
        "life": _in_words(row.ends_at - row.made_at),
    }
    sender = settings().mail_from or f"no-reply@{_mail_domain(public_url)}"
    letter = Letter(row.id, deliverable(row.address), sender, row.made_at)
    return message_of(letter, _templates(settings().mail_templates).words(row.kind, values))


def _sender() -> FileSender | SmtpSender:
    url = settings().smtp_url
    return SmtpSender(server_of(url)) if url else FileSender(auth.data_dir / "mail")


def _mail_domain(public_url: str) -> str:
    """The host of a URL where that is a name, as in an address (RFC 5321, section 2.3.4)."""
    host = urlsplit(public_url).hostname or ""
    return host if "." in host and not host.replace(".", "").isdigit() and ":" not in host else "localhost"


def _in_words(life: timedelta) -> str:
    minutes = round(life.total_seconds() / 60)
    number, unit = (minutes, "minute") if minutes % 60 else (minutes // 60, "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


@lru_cache(maxsize=2)
def _templates(folder: str) -> Templates:
    return Templates(folder)
