"""Key pairs: what secrets are sealed to and opened with. P-256, as JWK (RFC 7517; RFC 7518, section 6.2)."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

import msgspec

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

# 32 bytes in base64url (RFC 7518, section 6.2.1.2).
_Coordinate = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]


class PublicJwk(msgspec.Struct, frozen=True):
    """The half of a pair that everybody may know."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[_Coordinate, msgspec.Meta(examples=["MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"])]
    y: Annotated[_Coordinate, msgspec.Meta(examples=["4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"])]


class KeyPair:
    """Both halves. `kid` is the thumbprint of the public one (RFC 7638)."""

    def __init__(self, key: "ECKey") -> None:
        self.key = key
        self.kid = key.thumbprint()

    @classmethod
    def new(cls) -> Self:
        """A pair that nobody has."""
        return cls(_keys().generate_key("P-256"))

    @classmethod
    def read(cls, private_jwk: str) -> Self:
        """The pair that `private_jwk` gave."""
        return cls(_keys().import_key(msgspec.json.decode(private_jwk)))

    @property
    def private_jwk(self) -> str:
        """Both halves as JSON: whoever has it can open what is sealed to this pair."""
        return msgspec.json.encode(self.key.as_dict(private=True)).decode()

    @property
    def public_jwk(self) -> PublicJwk:
        """The half to give away."""
        return msgspec.convert(self.key.as_dict(private=False), PublicJwk)


def public_key(jwk: PublicJwk) -> "ECKey":
    """The key to seal with. Raises ValueError when the point is not on the curve."""
    return _keys().import_key(cast(Any, msgspec.structs.asdict(jwk)))


def _keys() -> "type[ECKey]":
    # Loaded with the first key: it takes a quarter of a second, and most services have no secrets.
    from joserfc.jwk import ECKey

    return ECKey
