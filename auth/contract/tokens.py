"""Access tokens: the keys to verify them with, and those of services."""

from typing import Annotated

from msgspec import Meta

from bus import JsonWebKeySet, Query, Refusal, Secret, ServiceToken, TransientCommand

ClientId = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-z][a-z0-9_-]*$", examples=["orders"])]
ClientSecret = Annotated[
    str, Meta(min_length=1, max_length=200, examples=["kXh7mZ1vC0Jw3b9TqYpR5sUeGd2LfAoNiVtHxEy8Mc4"]), Secret()
]


class InvalidClient(Refusal, code="auth.invalid_client", status=401):
    """There is no service account with this name and secret."""


class GetJwks(Query[JsonWebKeySet], name="auth.get_jwks", http="GET /.well-known/jwks.json"):
    """The keys to verify access tokens with (RFC 7517)."""


class IssueServiceToken(
    TransientCommand[ServiceToken], name="auth.issue_service_token", http="POST /service-token", refuses=[InvalidClient]
):
    """Get an access token for a service account: the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).

    Its scopes are the roles of the account. There is no refresh token: ask again before it ends.
    """

    client_id: ClientId
    client_secret: ClientSecret
