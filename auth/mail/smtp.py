"""Sends mails to a server by SMTP (RFC 5321), over TLS where it can."""

import smtplib
import ssl
import time
from contextlib import suppress
from email.message import EmailMessage
from typing import Any, Self

from auth.mail.message import envelope_of
from auth.mail.outcomes import MailPostponed, MailRefused
from auth.mail.smtp_url import MailServer

# For one mail, from the connection to the server's last word.
MAIL_SECONDS = 20.0
QUIT_SECONDS = 1.0
# A socket with less would not wait at all.
LEAST_SECONDS = 0.05
# What a server says of a failure is kept up to this length.
MAX_REASON_CHARACTERS = 300


class SmtpSender:
    """Sends over one connection, which is opened with the first mail and again after an error. Close it at the end."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._connection: _Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.deadline = time.monotonic() + QUIT_SECONDS
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._drop()

    def send(self, message: EmailMessage, _name: str) -> str:
        """Send it; returns where to. Takes at most about MAIL_SECONDS. Raises MailPostponed and MailRefused."""
        deadline = time.monotonic() + MAIL_SECONDS
        connection = self._connection = self._connection or self._connected(deadline)
        connection.deadline = deadline
        sender, recipient = envelope_of(message)
        try:
            connection.send_message(message, sender, [recipient])
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise _outcome_of(error, deadline) from None
        return f"{self._server.host}:{self._server.port}"

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, deadline: float) -> "_Connection":
        """Raises MailPostponed: whatever is wrong here is wrong for every mail, so an operator can repair it."""
        server = self._server
        connection: _Connection | None = None
        try:
            context = ssl.create_default_context(cafile=server.ca_file or None)
            connection = _Connection(server, context, deadline)
            self._begin(connection, context)
        except (smtplib.SMTPException, OSError, MailPostponed) as error:
            if connection is not None:
                connection.close()
            raise MailPostponed(_in_words(error, deadline)) from None
        return connection

    def _begin(self, connection: "_Connection", context: ssl.SSLContext) -> None:
        server = self._server
        connection.ehlo_or_helo_if_needed()
        is_safe = server.is_implicit or server.starttls == "off"
        if not is_safe and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
            is_safe = True
        if not is_safe and (server.starttls == "required" or server.user):
            raise MailPostponed("The server does not offer STARTTLS, without which nothing secret is sent to it.")
        if server.user:
            connection.login(server.user, server.password)


class _Connection(smtplib.SMTP):
    """A connection of which all waits together end at the deadline, a time of `time.monotonic`."""

    def __init__(self, server: MailServer, context: ssl.SSLContext, deadline: float) -> None:
        self.deadline, self._wrap = deadline, context.wrap_socket if server.is_implicit else None
        # The name in EHLO: that of this machine would be asked for in the DNS, which takes its time.
        super().__init__(server.host, server.port, local_hostname="[127.0.0.1]", timeout=MAIL_SECONDS)

    def send(self, s: Any) -> None:
        self._limit()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        self._limit()
        return super().getreply()

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        plain = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        return plain if self._wrap is None else self._wrap(plain, server_hostname=host)

    def _limit(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(max(LEAST_SECONDS, self.deadline - time.monotonic()))


def _outcome_of(error: smtplib.SMTPException | OSError, deadline: float) -> MailPostponed | MailRefused:
    """What a failure while a mail was sent means. A refused sender is the operator's to repair."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        error = smtplib.SMTPDataError(code, text)
    is_final = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
    is_final = is_final or isinstance(error, smtplib.SMTPNotSupportedError)  # the address needs SMTPUTF8 (RFC 6531)
    return (MailRefused if is_final else MailPostponed)(_in_words(error, deadline))


def _in_words(error: Exception, deadline: float) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        words = f"{error.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
    elif time.monotonic() >= deadline:
        words = f"The server did not answer within {MAIL_SECONDS:g} s."
    else:
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.split())[:MAX_REASON_CHARACTERS]
