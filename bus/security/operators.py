"""Operators: how the operations of `bus.contract.operator` know that an operator sent them.

An installation has one operator token, which its workers, its console and its operators' command lines share. It never
travels: a request carries an authenticator (HMAC, RFC 2104) made with it, which names the operator and holds for one
operation, message id and body, and for some minutes.
"""

import hashlib
import hmac
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from bus.contract.identity import CHALLENGE, Caller, NotAuthorized
from bus.messaging.message import Message
from bus.messaging.redelivery import AUTHORIZATION

SCHEME = "operator"
# How old a request may be. Its caller waits for seconds; the rest is for clocks that differ.
FRESH_SECONDS = 120.0
# As long as the output of SHA-256 (RFC 2104, section 3).
TOKEN_BYTES = 32
TOKEN_FILE = "operator-token"  # noqa: S105  # the name of a file
MAX_NAME_CHARACTERS = 200


class Operators:
    """Knows the requests of operators, by the operator token; without one it refuses all of them."""

    def __init__(self, token: str = "") -> None:
        self._token = token

    def caller_of(self, message: Message) -> Caller:
        """The operator who has signed this message. Raises NotAuthorized."""
        if not self._token:
            raise _refused("This worker has no operator token. Set BUS_OPERATOR_TOKEN for it.")
        given = message.headers.get(AUTHORIZATION)
        scheme, _, rest = given.partition(" ") if isinstance(given, str) else ("", "", "")
        named, _, authenticator = rest.partition(".")
        if scheme.lower() != SCHEME or not hmac.compare_digest(
            authenticator.encode("utf-8", "replace"),
            _authenticator(self._token, named, message.queue, message.message_id, message.body).encode(),
        ):
            raise _refused("This is for operators: sign it with this installation's operator token.")
        name, sent_at = msgspec.json.decode(urlsafe_b64decode(named))
        if abs(time.time() - sent_at) > FRESH_SECONDS:
            raise _refused("It was signed minutes ago, or the clocks of this worker and its operator differ.")
        return Caller(id=str(name))


class Operator(NamedTuple):
    """An operator: a name, which is recorded with what they do, and the operator token of the installation."""

    name: str
    token: str

    def signature(self, operation: str, message_id: str, body: bytes) -> str:
        """The value of the header `authorization` for a request of this operator."""
        named = urlsafe_b64encode(msgspec.json.encode([self.name[:MAX_NAME_CHARACTERS], time.time()])).decode()
        return f"{SCHEME.capitalize()} {named}.{_authenticator(self.token, named, operation, message_id, body)}"


def stored_token(folder: Path, *, make: bool) -> str:
    """The operator token in the folder DATA_DIR; empty if there is none. `make`: make it then, if that is possible."""
    file = folder / TOKEN_FILE
    with suppress(OSError):
        return file.read_text(encoding="ascii").strip()
    if not make:
        return ""
    own = folder / f".{TOKEN_FILE}.{secrets.token_hex(8)}"  # nobody can have made it before, to read the token there
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(secrets.token_hex(TOKEN_BYTES) + "\n")
        with suppress(FileExistsError):  # another process was faster
            os.link(own, file)
        own.unlink()
        return file.read_text(encoding="ascii").strip()
    return ""


def _authenticator(token: str, named: str, operation: str, message_id: str | None, body: bytes) -> str:
    """In hexadecimal digits."""
    text = named.encode("utf-8", "backslashreplace").decode()  # forged, it may have lone surrogates
    content = msgspec.json.encode([SCHEME, operation, message_id, hashlib.sha256(body).hexdigest(), text])
    return hmac.new(token.encode(), content, hashlib.sha256).hexdigest()


def _refused(detail: str) -> NotAuthorized:
    return NotAuthorized("operators-only", 403, "For operators only", detail, CHALLENGE)
