"""Introspection: whether an access token is good now (RFC 7662)."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from auth.contract.accounts import SessionOver
from bus import Reply, Secret, TransientCommand

GivenToken = Annotated[
    str,
    Meta(min_length=1, max_length=4096, examples=["eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2ln"]),
    Secret(),
]


class Introspection(Reply):
    """What is known of a token (RFC 7662, section 2.2). Of one that is not active, nothing is said but that."""

    active: bool
    scope: Annotated[str, Meta(examples=["catalog:write"])] | UnsetType = UNSET
    username: Annotated[str, Meta(examples=["ada"])] | UnsetType = UNSET
    token_type: Literal["Bearer"] | UnsetType = UNSET
    exp: Annotated[int, Meta(examples=[1767225600])] | UnsetType = UNSET
    sub: Annotated[str, Meta(examples=["1"])] | UnsetType = UNSET
    sid: Annotated[str, Meta(examples=["Zm9vYmFyYmF6cXV4MTIzNA"])] | UnsetType = UNSET
    aud: Annotated[str, Meta(examples=["urn:errand"])] | UnsetType = UNSET
    iss: Annotated[str, Meta(examples=["urn:errand:auth"])] | UnsetType = UNSET


# It changes nothing. But a query comes with its fields in the URL, where a token must not be (RFC 7662, section 4).
class Introspect(
    TransientCommand[Introspection],
    name="auth.introspect",
    http="POST /introspect",
    needs="",
    refuses=[SessionOver],
):
    """Ask whether an access token is good: of its own account for anyone, of any account with the role `admin`.

    Any other text is not active, and neither is a token whose session has ended or whose account is disabled.
    """

    token: GivenToken
    token_type_hint: Annotated[str, Meta(max_length=100, examples=["access_token"])] | UnsetType = UNSET
