"""Access tokens that are wrong in one way each, around a right one."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import msgspec

from bus.security.signing_keys import SigningKey
from support.access_tokens import encoded

LIFE_SECONDS = 600


class Tokens:
    """Tokens of one key, at one time in seconds since 1970."""

    def __init__(self, key: SigningKey, now: int) -> None:
        self._key, self._now = key, now
        self.claims: dict[str, Any] = {
            "iss": "urn:errand:auth",
            "aud": "urn:errand",
            "sub": "42",
            "sid": "Zm9vYmFy",
            "scope": "admin catalog:write",
            "iat": now,
            "exp": now + LIFE_SECONDS,
            "jti": "c2Vzc2lvbg",
        }
        self._header = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
        self.good = key.sign(self.claims)

    def with_claims(self, **changes: Any) -> str:
        """One with other claims; None leaves one out."""
        return self._signed(self._header, _without_nones({**self.claims, **changes}))

    def with_header(self, **changes: Any) -> str:
        """One with another header; None leaves a member out."""
        return self._signed(_without_nones({**self._header, **changes}))

    def wrong(self) -> dict[str, str]:
        """By what is wrong with them."""
        key, now, claims, header, good = self._key, self._now, self.claims, self._header, self.good
        other = SigningKey.new()
        first, second, last = good.split(".")
        # The last character of a signature has four bits that mean nothing.
        other_spelling = last[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[last[-1]]
        return {
            "nothing": "",
            "no JWT": "kXh7mZ1vC0Jw3b9TqYpR5sUeGd2LfAoNiVtHxEy8Mc4",
            "no signature": f"{first}.{second}.",
            "two parts": f"{first}.{second}",
            "four parts": f"{good}.{last}",
            "five parts, as a JWE": f"{first}.{last}.{last}.{second}.{last}",
            "a blank": f"{first}. {second}.{last}",
            "padding": f"{first}.{second}.{last}==",
            "standard base64": f"{first}.{second}.+/{last[2:]}",
            "another spelling of the signature": f"{first}.{second}.{other_spelling}",
            "too long": self.with_claims(scope="x" * 5000),
            "other claims under the signature": f"{first}.{_json({**claims, 'sub': '1'})}.{last}",
            "signed by another key": self._signed(header, sign=other._key.sign),
            "without its last character": good[:-1],
            "a certificate in the header": self.with_header(x5c=["MIIB"]),
            "the address of a certificate": self.with_header(x5u="https://attacker.example/key.pem"),
            "an unknown key": other.sign(claims),
            "alg none": f"{_json({**header, 'alg': 'none'})}.{second}.",
            "alg none with a signature": self.with_header(alg="none"),
            "alg None": self.with_header(alg="None"),
            "HS256 with the public key": self._signed({**header, "alg": "HS256"}, sign=self._hs256),
            "HS256 by its length, under our alg": self._signed(header, sign=self._hs256),
            "alg RS256": self.with_header(alg="RS256"),
            "no alg": self.with_header(alg=None),
            "typ JWT": self.with_header(typ="JWT"),
            "typ of a refresh token": self.with_header(typ="rt+jwt"),
            "no typ": self.with_header(typ=None),
            "no kid": self.with_header(kid=None),
            "kid no text": self.with_header(kid=7),
            "a key in the header": self.with_header(jwk={"kty": "OKP", "crv": "Ed25519", "x": other.x}),
            "the address of a key": self.with_header(jku="https://attacker.example/jwks.json"),
            "crit": self.with_header(crit=["exp"]),
            "unencoded": self.with_header(b64=False),
            "a header that is no object": self._signed(b"[]"),
            "a header with a key twice": self._signed(
                b'{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"' + key.kid.encode() + b'"}'
            ),
            "claims that are no object": self._signed(header, b'"42"'),
            "claims that are no JSON": self._signed(header, b"{sub: 42}"),
            "another issuer": self.with_claims(iss="urn:errand:other"),
            "no issuer": self.with_claims(iss=None),
            "another audience": self.with_claims(aud="urn:other"),
            "another audience in a list": self.with_claims(aud=["urn:other"]),
            "no audience": self.with_claims(aud=None),
            "ended": self.with_claims(exp=now),
            "no end": self.with_claims(exp=None),
            "the end as text": self.with_claims(exp=str(now + 600)),
            "an endless end": self._signed(
                header, msgspec.json.encode(claims).replace(str(now + 600).encode(), b"Infinity")
            ),
            "not yet": self.with_claims(nbf=now + 60),
            "issued in the future": self.with_claims(iat=now + 60),
            "no time of issue": self.with_claims(iat=None),
            "no subject": self.with_claims(sub=None),
            "the subject as a number": self.with_claims(sub=42),
            "an empty subject": self.with_claims(sub=""),
            "the subject of no account": self.with_claims(sub="anonymous"),
            "a subject with a line break": self.with_claims(sub="4\n2"),
            "no session": self.with_claims(sid=None),
            "no id of its own": self.with_claims(jti=None),
            "no scope": self.with_claims(scope=None),
            "scopes in a list": self.with_claims(scope=["admin"]),
        }

    def _signed(self, header: Any, claims: Any = None, sign: Callable[[bytes], bytes] | None = None) -> str:
        parts = (header, self.claims if claims is None else claims)
        signed = ".".join(encoded(part if isinstance(part, bytes) else msgspec.json.encode(part)) for part in parts)
        return f"{signed}.{encoded((sign or self._key._key.sign)(signed.encode()))}"

    def _hs256(self, signed: bytes) -> bytes:
        """Signed with the public key as if it were a shared secret (RFC 8725, section 2.1)."""
        return hmac.new(urlsafe_b64decode(self._key.x + "="), signed, hashlib.sha256).digest()


def _json(members: dict[str, Any]) -> str:
    return encoded(msgspec.json.encode(members))


def _without_nones(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
