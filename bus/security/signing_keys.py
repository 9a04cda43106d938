"""Signing keys: what access tokens are signed with. Ed25519 (RFC 8032), as JWK (RFC 8037, section 2)."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALG = "EdDSA"
# RFC 9068, section 2.1.
TYPE = "at+jwt"


class SigningKey:
    """A private key of the curve Ed25519 and its public half. `kid` is the thumbprint of the latter (RFC 7638)."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.x = _text(key.public_key().public_bytes_raw())
        # The members in this order, without blanks (RFC 8037, appendix A.3).
        members = f'{{"crv":"Ed25519","kty":"OKP","x":"{self.x}"}}'
        self.kid = _text(hashlib.sha256(members.encode()).digest())

    @classmethod
    def new(cls) -> Self:
        """Generate a key."""
        return cls(_private_keys().generate())

    @classmethod
    def read(cls, private_jwk: str) -> Self:
        """Read a key from its `private_jwk`."""
        seed = msgspec.json.decode(private_jwk)["d"]
        return cls(_private_keys().from_private_bytes(urlsafe_b64decode(seed + "=")))

    @property
    def private_jwk(self) -> str:
        """Both halves as JSON. It signs tokens of any account, so keep it secret."""
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": self.x, "d": _text(self._key.private_bytes_raw())}
        return msgspec.json.encode(jwk).decode()

    def sign(self, claims: Mapping[str, object]) -> str:
        """An access token with these claims: a JWT in compact serialisation (RFC 7515, section 7.1)."""
        header = {"alg": ALG, "typ": TYPE, "kid": self.kid}
        signed = ".".join(_text(msgspec.json.encode(part)) for part in (header, claims))
        return f"{signed}.{_text(self._key.sign(signed.encode()))}"


def _text(content: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _private_keys() -> "type[Ed25519PrivateKey]":
    # Imported with the first key: few processes sign.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey
