"""A real SMTP server (aiosmtpd) on a port of this machine, which keeps what it gets and can refuse it."""

import email
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bus.testing.servers.ports import free_ports

OK = "250 OK"


class MailServer:
    """Give it a TLS context for STARTTLS, `implicit` TLS, or a user and password that it then requires.

    `refusals` are answers to the next recipients or messages, each for one; `before_answer` is called when a message
    has come, and before it is acknowledged.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        utf8: bool = True,
    ) -> None:
        (self.port,) = free_ports(1)
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.was_encrypted: list[bool] = []
        self.connections = 0
        self.refused_recipients: list[str] = []
        self.refused_messages: list[str] = []
        self.before_answer: Callable[[EmailMessage], None] = lambda _message: None
        self._login = login
        options: dict[str, Any] = {"enable_SMTPUTF8": utf8}
        if login is not None:
            options |= {
                "authenticator": self._authenticate,
                "auth_required": True,
                "auth_require_tls": tls is not None and not implicit,
            }
        if tls is not None and implicit:
            options["ssl_context"] = tls
        elif tls is not None:
            options["tls_context"] = tls
        self._options = options
        self._controller: Controller | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        """Be away."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_EHLO(  # noqa: N802  # aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if self.refused_recipients:
            return self.refused_recipients.pop(0)
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=default)
        if self.refused_messages:
            return self.refused_messages.pop(0).format(text=content.decode())
        self.messages.append(message)
        self.recipients += envelope.rcpt_tos
        assert server.transport is not None
        self.was_encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        self.before_answer(message)
        return OK

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_right = (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=is_right, handled=False)
