"""Key pairs, to seal secrets and to open seals. P-256, as JWK (RFC 7517; RFC 7518, section 6.2)."""

from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from bus.contract.builtin import PublicJwk

if TYPE_CHECKING:
    from joserfc.jwk import ECKey


class KeyPair:
    """A private and a public key. `kid` is the thumbprint of the public key (RFC 7638)."""

    def __init__(self, key: "ECKey") -> None:
        self.key = key
        self.kid = key.thumbprint()

    @classmethod
    def new(cls) -> Self:
        """Generate a pair."""
        return cls(_keys().generate_key("P-256"))

    @classmethod
    def read(cls, private_jwk: str) -> Self:
        """Read a pair from its `private_jwk`."""
        return cls(_keys().import_key(msgspec.json.decode(private_jwk)))

    @property
    def private_jwk(self) -> str:
        """Both keys as JSON. It opens every seal for this pair, so keep it secret."""
        return msgspec.json.encode(self.key.as_dict(private=True)).decode()

    @property
    def public_jwk(self) -> PublicJwk:
        """The public key."""
        return msgspec.convert(self.key.as_dict(private=False), PublicJwk)


def public_key(jwk: PublicJwk) -> "ECKey":
    """The public key to seal to. Raises ValueError when the point is not on the curve."""
    return _keys().import_key(cast(Any, msgspec.structs.asdict(jwk)))


def _keys() -> "type[ECKey]":
    # Imported with the first key: it takes a quarter of a second, and most services have no secrets.
    from joserfc.jwk import ECKey

    return ECKey
