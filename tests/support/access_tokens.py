"""Access tokens for tests, signed as the service `auth` signs them, or not."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus.contract.identity import AUDIENCE, ISSUER, JsonWebKeySet, SigningJwk

LIFE_SECONDS = 600


class Signer:
    """A key that signs access tokens."""

    def __init__(self, kid: str = "key-1") -> None:
        self.kid, self._key = kid, Ed25519PrivateKey.generate()

    @property
    def jwk(self) -> SigningJwk:
        """The public key."""
        return SigningJwk(kty="OKP", crv="Ed25519", x=encoded(self._key.public_key().public_bytes_raw()), kid=self.kid)

    @property
    def key_set(self) -> JsonWebKeySet:
        """What the service of the tokens answers."""
        return JsonWebKeySet(keys=[self.jwk])

    def token(self, account: str = "17", scope: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that is good now, except for what is given in `header` and `claims`; None leaves a member out."""
        now = int(time.time())
        times = {"iat": now, "exp": now + LIFE_SECONDS}
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": account, "sid": "s1", "jti": uuid4().hex, "scope": scope}
        head = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid} | (header or {})
        return self.signed(_without_nones(head), _without_nones(whole | times | claims))

    def signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """These two and their signature."""
        content = ".".join(encoded(json.dumps(each).encode()) for each in (header, claims))
        return f"{content}.{encoded(self._key.sign(content.encode()))}"


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _without_nones(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
