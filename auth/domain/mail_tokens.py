"""Tokens of mails: made from the mail's id when it is written, so that no secret is stored.

A token is the id and an authenticator (HMAC, RFC 2104) of id, purpose and end, made with a key of auth.
"""

import base64
import hashlib
import hmac
from datetime import datetime

ID_BYTES = 16


def token_of(mail_id: str, purpose: str, ends_at: datetime, key: bytes) -> str:
    """The token of a mail. `mail_id` has 32 hexadecimal digits; parts of a second of `ends_at` do not count."""
    content = "\n".join((purpose, mail_id, str(int(ends_at.timestamp()))))
    authenticator = hmac.new(key, content.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(bytes.fromhex(mail_id) + authenticator).decode()


def mail_id_in(token: str) -> str | None:
    """The id of the mail that a text is the token of, if it is one."""
    try:
        decoded = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:  # also for text that is not ASCII
        return None
    return decoded[:ID_BYTES].hex() if len(decoded) == ID_BYTES + hashlib.sha256().digest_size else None


def is_token(token: str, mail_id: str, purpose: str, ends_at: datetime, key: bytes) -> bool:
    """Whether this is the token of that mail."""
    return hmac.compare_digest(token.encode(), token_of(mail_id, purpose, ends_at, key).encode())
