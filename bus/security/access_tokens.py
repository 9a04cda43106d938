"""Access tokens: from the text of a token to the caller that it stands for, or a refusal.

JWT in compact serialisation with the profile of RFC 9068, verified after the rules of RFC 8725: one algorithm that the
token cannot choose (section 3.1), an explicit type (3.11), issuer and audience (3.8, 3.9), and nothing of the token
is believed before its signature. A token that fails in any way gets the same refusal.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from bus.contract.codec import parse, prepare
from bus.contract.identity import ANONYMOUS, AUDIENCE, ISSUER, Caller, SigningJwk, invalid_token
from bus.contract.problems import Invalid

ALG = "EdDSA"  # with a key of the curve Ed25519 (RFC 8037, section 3.1)
# RFC 9068, section 2.1; RFC 7515, section 4.1.9 lets a media type begin with `application/`.
TYPES = ("at+jwt", "application/at+jwt")
MAX_TOKEN_CHARACTERS = 4096
# Clocks of two machines differ. A token may seem to come from the future for so long; its end is not put off.
SKEW_SECONDS = 10

# Header, claims, and the 64 bytes of a signature.
_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,1024})\.([A-Za-z0-9_-]{1,3072})\.([A-Za-z0-9_-]{86})")
# Ids of accounts and sessions become keys in databases.
_Id = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,255}$")]

KeyOf = Callable[[str], SigningJwk | None]


class Verified(NamedTuple):
    """A caller, and when its token ends, in seconds since 1970."""

    caller: Caller
    expires_at: int


class _Claims(msgspec.Struct):
    """RFC 9068, section 2.2, where the client (`client_id`) is left out: there is one. `sid` is the session's id.

    Scopes are separated by spaces (RFC 6749, section 3.3).
    """

    iss: str
    aud: str | list[str]
    sub: _Id
    sid: _Id
    jti: _Id
    scope: Annotated[str, Meta(max_length=1000)]
    iat: int
    exp: int
    nbf: int = 0


def verify(token: str, key_of: KeyOf, now: float) -> Verified:
    """Verify an access token. `key_of` gives the key with an id, `now` is in seconds since 1970.

    Raises NotAuthorized (401, always with the same text), and what `key_of` raises.
    """
    parts = _parts(token)
    key = key_of(_kid_of(_object(parts[1])))
    if key is None or not _is_signed(key, token[: parts.end(2)].encode(), _bytes(parts[3])):
        raise invalid_token()
    return _verified(_object(parts[2]), now)


def read_given(token: str, now: float) -> Verified:
    """As `verify`, for a token that the service which signs them has just given to the reader: it needs no key.

    The signature is not checked. Believe it only as far as that service is asked with it. Raises NotAuthorized.
    """
    return _verified(_object(_parts(token)[2]), now)


def _parts(token: str) -> re.Match[str]:
    parts = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARACTERS else None
    if parts is None:
        raise invalid_token()
    return parts


def _kid_of(header: dict[str, Any]) -> str:
    """The id of the key. A member that changes what the header means, such as `crit`, is refused as all unknown are."""
    kid, typ = header.get("kid"), header.get("typ")
    is_ours = header.keys() == {"alg", "typ", "kid"} and header["alg"] == ALG
    if not (is_ours and isinstance(kid, str) and isinstance(typ, str) and typ.lower() in TYPES):
        raise invalid_token()
    return kid


def _is_signed(key: SigningJwk, signed: bytes, signature: bytes) -> bool:
    # Imported with the first token, for the reason given in `bus.security.keys`.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(_bytes(key.x)).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _verified(claims: dict[str, Any], now: float) -> Verified:
    """RFC 9068, section 4."""
    prepare(_Claims)
    try:
        found = msgspec.convert(claims, _Claims)
    except msgspec.ValidationError:
        raise invalid_token() from None
    is_for_us = found.iss == ISSUER and AUDIENCE in ([found.aud] if isinstance(found.aud, str) else found.aud)
    is_now = max(found.iat, found.nbf) - SKEW_SECONDS <= now < found.exp
    if not is_for_us or not is_now or found.sub == ANONYMOUS.id:
        raise invalid_token()
    return Verified(Caller(id=found.sub, session=found.sid, scopes=frozenset(found.scope.split())), found.exp)


def _object(part: str) -> dict[str, Any]:
    try:
        return parse(_bytes(part))
    except Invalid:
        raise invalid_token() from None


def _bytes(part: str) -> bytes:
    """base64url without padding (RFC 7515, section 2), in its only spelling."""
    try:
        found = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise invalid_token() from None
    if urlsafe_b64encode(found).rstrip(b"=") != part.encode():
        raise invalid_token()
    return found
