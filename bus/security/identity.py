"""The identity of a service: a long-lived key that signs its sealing keys.

Any program that may read the queue SERVICE.get_sealing_key could answer in place of the service and hand out a key of
its own. So the answer carries a signature (JWS in compact serialisation, RFC 7515, by ES256) of the service's name and
the id of the sealing key; the header has the public identity key, by whose thumbprint (RFC 7638) callers know it.
"""

from base64 import urlsafe_b64decode

import msgspec

from bus.contract.builtin import PublicJwk, SealingKey
from bus.contract.codec import encode_fields, prepare
from bus.security.keys import KeyPair, public_key

SIGNATURE_ALG = "ES256"


class Forged(Exception):
    """A sealing key without a valid signature of its service; the message says what is wrong with it."""


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: str
    jwk: PublicJwk


class _Signed(msgspec.Struct, forbid_unknown_fields=True):
    service: str
    kid: str


def signature_of(identity: KeyPair, service: str, kid: str) -> str:
    """The service's signature of the id of a sealing key."""
    from joserfc.jws import serialize_compact

    header = {"alg": SIGNATURE_ALG, "jwk": msgspec.structs.asdict(identity.public_jwk)}
    return serialize_compact(header, encode_fields({"service": service, "kid": kid}), identity.key)


def identity_of(key: SealingKey, service: str) -> str:
    """The thumbprint of the identity key that has signed a sealing key of this service. Raises Forged."""
    from joserfc.errors import JoseError
    from joserfc.jws import deserialize_compact

    try:
        prepare(PublicJwk)
        encoded = key.signature.partition(".")[0]
        header = msgspec.json.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=_Header)
        identity = public_key(header.jwk)
        payload = deserialize_compact(key.signature, identity, algorithms=[SIGNATURE_ALG]).payload
        signed = msgspec.json.decode(payload, type=_Signed)
        is_own_id = key.kid == public_key(key.jwk).thumbprint()
    except (JoseError, ValueError, msgspec.MsgspecError):  # ValueError: base64, or a point that is not on the curve
        raise Forged("Its signature is not valid.") from None
    if not is_own_id or (signed.service, signed.kid) != (service, key.kid):
        raise Forged("Its signature belongs to another key.")
    return identity.thumbprint()
