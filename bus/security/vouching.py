"""Vouching: the caller that a worker has verified, in a copy of the message instead of the token.

Its authenticator (HMAC, RFC 2104) is made with the service's own key, and holds for one operation, message id and
body. So a copy is worth as much as the message was, and its headers are worth nothing elsewhere.
"""

import hashlib
import hmac

import msgspec
from msgspec import structs

from bus.contract.identity import ANONYMOUS, Caller
from bus.messaging.message import Message
from bus.messaging.redelivery import CALLER, CALLER_AUTHENTICATOR


def vouch(message: Message, caller: Caller, key: bytes) -> Message:
    """The message with this caller, and without any other."""
    headers = {name: value for name, value in message.headers.items() if name not in (CALLER, CALLER_AUTHENTICATOR)}
    if caller != ANONYMOUS:
        named = name_of(caller)
        headers |= {CALLER: named, CALLER_AUTHENTICATOR: _authenticator(message, named, key)}
    return structs.replace(message, headers=headers)


def vouched(message: Message, key: bytes) -> Caller | None:
    """The caller that a worker with this key has vouched for; None without one, and for a forged one."""
    named, given = message.headers.get(CALLER), message.headers.get(CALLER_AUTHENTICATOR)
    if not isinstance(named, str) or not isinstance(given, str):
        return None
    if not hmac.compare_digest(given.encode("utf-8", "replace"), _authenticator(message, named, key).encode()):
        return None
    return caller_named(named)


def name_of(caller: Caller) -> str:
    """A caller as text; empty for an anonymous one."""
    if caller == ANONYMOUS:
        return ""
    return msgspec.json.encode([caller.id, caller.session, sorted(caller.scopes)]).decode()


def caller_named(text: str) -> Caller:
    """The caller whom `name_of` has written as this text."""
    if not text:
        return ANONYMOUS
    account, session, scopes = msgspec.json.decode(text)
    return Caller(id=account, session=session, scopes=frozenset(scopes))


def _authenticator(message: Message, named: str, key: bytes) -> str:
    """In hexadecimal digits."""
    text = named.encode("utf-8", "backslashreplace").decode()  # forged, it may have lone surrogates
    body = hashlib.sha256(message.body).hexdigest()
    content = msgspec.json.encode([CALLER, text, message.queue, message.message_id, body])
    return hmac.new(key, content, hashlib.sha256).hexdigest()
