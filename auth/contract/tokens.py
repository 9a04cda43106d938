"""Access tokens: the keys to verify them with."""

from bus import JsonWebKeySet, Query


class GetJwks(Query[JsonWebKeySet], name="auth.get_jwks", http="GET /.well-known/jwks.json"):
    """The keys to verify access tokens with (RFC 7517)."""
