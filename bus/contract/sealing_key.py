"""The sealing key: what callers seal the secrets of their requests to."""

import types
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bus.contract.operations import Query, Reply

# 32 bytes in base64url (RFC 7518, section 6.2.1.2).
_Coordinate = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]


class PublicJwk(msgspec.Struct, frozen=True):
    """The half of a pair that everybody may know."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[_Coordinate, msgspec.Meta(examples=["MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"])]
    y: Annotated[_Coordinate, msgspec.Meta(examples=["4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"])]


class SealingKey(Reply):
    """The public key (RFC 7517) and how to seal with it: `alg` and `enc` are what the JWE must use."""

    kid: Annotated[str, Meta(examples=["cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"])]
    alg: Annotated[str, Meta(examples=["ECDH-ES"])]
    enc: Annotated[str, Meta(examples=["A256GCM"])]
    jwk: PublicJwk


@cache
def sealing_key_query_of(service: str) -> type[Query[SealingKey]]:
    """The query named `SERVICE.get_sealing_key`, which every service has that takes secrets."""
    body = {"__doc__": "The key to seal the secrets of a request to."}
    declared: type[Query[SealingKey]] = types.new_class(
        "GetSealingKey",
        (Query[SealingKey],),
        {"name": f"{service}.get_sealing_key"},
        lambda namespace: namespace.update(body),
    )
    return declared
