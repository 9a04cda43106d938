"""Seals: the secrets of one request, readable only by its service.

A seal is a JWE in compact serialisation (RFC 7516, section 7.1) by ECDH-ES in direct key agreement (RFC 7518,
section 4.6) and A256GCM. Its protected header names the key and the operation; what is encrypted is the whole request
with its message id, so that a seal belongs to one operation, one message and one set of other fields.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from bus.contract.builtin import PublicJwk
from bus.contract.codec import encode_fields, parse, prepare
from bus.contract.problems import FieldError, Invalid
from bus.security.keys import KeyPair, public_key

if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry

# The field of a request that takes the place of its secret fields.
SEALED = "sealed"
# The members of the JSON object that is sealed for a body: the request with its secrets, and the id of its message.
# Without an id the seal is good for a message with any id, and for one without.
REQUEST, MESSAGE_ID = "request", "message_id"
# The only member of the JSON object that is sealed for a header `authorization`.
TOKEN = "token"  # noqa: S105  # no password
UNSEALABLE = "unsealable"
ALG = "ECDH-ES"
ENC = "A256GCM"
# Large enough for the largest body that HTTP takes.
MAX_SEAL_BYTES = 128 * 1024
# What is encrypted is filled up with blanks to a multiple of this, or its length would be that of the password.
PADDED_BYTES = 256

# Header, no encrypted key, 96 bits of initialisation vector, ciphertext, 128 bits of tag.
_SEAL = re.compile(r"([A-Za-z0-9_-]{1,1024})\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}")
_HEADER = {"alg", "enc", "kid", "op", "epk"}


def looks_sealed(value: object) -> bool:
    """Whether a value has the form of a seal."""
    return isinstance(value, str) and len(value) <= MAX_SEAL_BYTES and _SEAL.fullmatch(value) is not None


def seal(content: Mapping[str, Any], operation: str, kid: str, jwk: PublicJwk) -> str:
    """Seal a JSON object for one operation. Raises ValueError for an invalid key."""
    from joserfc.jwe import encrypt_compact

    header = {"alg": ALG, "enc": ENC, "kid": kid, "op": operation}
    encoded = encode_fields(dict(content))
    encoded = encoded.ljust(-(-len(encoded) // PADDED_BYTES) * PADDED_BYTES)
    return encrypt_compact(header, encoded, public_key(jwk), registry=_registry())


def kid_of(sealed: object, operation: str) -> str:
    """The id of the key that opens a seal. Raises Invalid when it is not a seal for this operation."""
    if not looks_sealed(sealed):
        raise unsealable(f"Expected a JWE in compact serialisation of at most {MAX_SEAL_BYTES} bytes.")
    header = _header_of(str(sealed))
    if header.keys() != _HEADER:
        raise unsealable(f"The protected header must have exactly these members: {', '.join(sorted(_HEADER))}.")
    if (header["alg"], header["enc"]) != (ALG, ENC):
        raise unsealable(f"Expected the algorithms {ALG} and {ENC}.")
    if header["op"] != operation:
        raise unsealable(f"The seal was not made for {operation}.")
    try:
        prepare(PublicJwk)
        msgspec.convert(header["epk"], PublicJwk)
        return msgspec.convert(header["kid"], str)
    except msgspec.ValidationError:
        raise unsealable("Expected text as kid, and a public key of the curve P-256 as epk.") from None


def unseal(sealed: str, pair: KeyPair) -> dict[str, Any]:
    """Open a seal whose header `kid_of` has checked. Raises Invalid."""
    from joserfc.errors import JoseError
    from joserfc.jwe import decrypt_compact

    try:
        opened = decrypt_compact(sealed, pair.key, registry=_registry()).plaintext or b""
    except (JoseError, ValueError):  # ValueError: invalid base64, or a point that is not on the curve
        raise unsealable("The seal cannot be opened: it was changed, or sealed to another key.") from None
    try:
        return parse(opened)
    except Invalid as invalid:
        raise unsealable(f"The sealed text is not an acceptable JSON object. {invalid.problem.detail}") from None


def unsealable(detail: str) -> Invalid:
    """The error for a seal that this service cannot open or accept. The sender's fault."""
    return Invalid(UNSEALABLE, 422, "Invalid request", detail, [FieldError(f"/{SEALED}", detail, UNSEALABLE)])


def _header_of(sealed: str) -> dict[str, Any]:
    encoded = sealed.partition(".")[0]
    try:
        return parse(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, Invalid):
        raise unsealable("The protected header is not a JSON object in base64url.") from None


@cache
def _registry() -> "JWERegistry":
    # Imported with the first seal, for the reason given in `bus.security.keys`.
    from joserfc.jwe import JWERegistry
    from joserfc.registry import HeaderParameter

    registry = JWERegistry({"op": HeaderParameter("Operation", "str", True)}, [ALG, ENC])
    registry.max_ciphertext_length = MAX_SEAL_BYTES
    return registry
