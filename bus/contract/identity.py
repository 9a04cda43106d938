"""Identity: who sent a request, and the "no" to those who may not.

A caller proves who it is with an access token: a JWT (RFC 7519) with the profile of RFC 9068, signed by the service
`auth`. What an operation asks of its callers is declared in its contract, `needs=`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.builtin import builtin_operation
from bus.contract.fields import Secret, holds_secrets
from bus.contract.operations import Authentication, Command, Operation, Query, Reply, TransientCommand
from bus.contract.problems import Problem, ProblemError

# The service that signs access tokens, and what its tokens carry as `iss` and `aud` (RFC 9068, section 2.2).
TOKEN_SERVICE = "auth"  # noqa: S105  # no password
ISSUER, AUDIENCE = "urn:errand:auth", "urn:errand"
# A challenge names what it protects (RFC 9110, section 11.5). Every answer with 401 has one (section 15.5.2).
CHALLENGE = 'Bearer realm="errand"'


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a request: an account, its session and the scopes of its token. Without a token, `ANONYMOUS`.

    `id` is the account's id as text. Message ids are stored for each caller separately.
    """

    id: str = "anonymous"
    session: str = ""
    scopes: frozenset[str] = frozenset()


# The `work.caller` of a request without a token: it is not known who sent it.
ANONYMOUS = Caller()


def service_caller(service: str) -> Caller:
    """A service, as the caller of what it does in its own name. The id of an account of a person is a number."""
    return Caller(id=f"service:{service}", session=f"service:{service}")


class NotAuthorized(ProblemError):
    """Raised for a request whose caller is not known (401), or may not do it (403). The sender's fault.

    `challenge` is the value of `WWW-Authenticate` (RFC 6750, section 3).
    """

    def __init__(self, code: str, status: int, title: str, detail: str, challenge: str) -> None:
        super().__init__(Problem.of(code, status, title, detail))
        self.challenge = challenge


def token_required() -> NotAuthorized:
    """The request has no token. Without one, a challenge names no error (RFC 6750, section 3.1)."""
    detail = "This needs an access token: authorization: Bearer …"
    return NotAuthorized("token-required", 401, "Token required", detail, CHALLENGE)


def not_sent() -> NotAuthorized:
    """What has the form of a sent command, and comes of no worker of the service."""
    detail = "Only the service itself sends this, with work.send."
    return NotAuthorized("not-sent", 403, "Not sent", detail, CHALLENGE)


def invalid_token() -> NotAuthorized:
    """The token is no access token of this system, or not any more. Which, is not said."""
    detail = "The access token is not valid, or not any more. Log in again, or use the refresh token."
    return NotAuthorized("invalid-token", 401, "Invalid token", detail, f'{CHALLENGE}, error="invalid_token"')


def insufficient_scope(scope: str) -> NotAuthorized:
    """The token is valid, and its account may not do this."""
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return NotAuthorized("insufficient-scope", 403, "Insufficient scope", f"This needs the scope {scope}.", challenge)


class SigningJwk(msgspec.Struct, frozen=True):
    """The public half of a key that signs access tokens (RFC 7517; RFC 8037, section 2)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$", examples=["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"])]
    kid: Annotated[str, Meta(examples=["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"])]
    use: Literal["sig"] = "sig"
    alg: Literal["EdDSA"] = "EdDSA"


class JsonWebKeySet(Reply):
    """The keys that sign access tokens, the newest first (RFC 7517, section 5)."""

    keys: Sequence[SigningJwk]


class GetKeySet(Query[JsonWebKeySet]):
    """The keys to verify access tokens with."""


class ServiceToken(Reply):
    """An access token for a service (RFC 6749, section 4.4.3); `expires_in` is its life in seconds."""

    access_token: Annotated[
        str, Meta(examples=["eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2ln"]), Secret()
    ]
    expires_in: Annotated[int, Meta(examples=[600])]
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # no password


class GetServiceToken(TransientCommand[ServiceToken]):
    """Get an access token for a service account."""

    client_id: Annotated[str, Meta(min_length=1, max_length=64, examples=["orders"])]
    client_secret: Annotated[
        str, Meta(min_length=1, max_length=200, examples=["kXh7mZ1vC0Jw3b9TqYpR5sUeGd2LfAoNiVtHxEy8Mc4"]), Secret()
    ]


@cache
def service_token_command() -> type[GetServiceToken]:
    """The command by which a service gets a token for what it does in its own name."""
    return builtin_operation(TOKEN_SERVICE, "issue_service_token", GetServiceToken)


@cache
def key_set_query() -> type[GetKeySet]:
    """The query by which a service gets the keys."""
    return builtin_operation(TOKEN_SERVICE, "get_jwks", GetKeySet)


class GivenTokens(Reply):
    """What the library reads of the reply to a log-in; `expires_in` is the life of the access token in seconds."""

    access_token: Annotated[str, Secret()]
    refresh_token: Annotated[str, Secret()]
    expires_in: int


class LogIn(TransientCommand[GivenTokens]):
    """Begin a session with an account, as far as the library knows the operation."""

    login: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Annotated[str, Meta(min_length=1, max_length=1024), Secret()]
    device: str | UnsetType = UNSET
    otp: str | UnsetType = UNSET


@cache
def log_in_command() -> type[LogIn]:
    """The command by which a front end of the library logs an operator in."""
    return builtin_operation(TOKEN_SERVICE, "log_in", LogIn)


class Refresh(TransientCommand[GivenTokens]):
    """Get new tokens for a session, with the roles that its account has now."""

    refresh_token: Annotated[str, Secret()]


@cache
def refresh_command() -> type[Refresh]:
    """The command by which a front end of the library goes on with a session."""
    return builtin_operation(TOKEN_SERVICE, "refresh", Refresh)


class LoggedOut(Reply):
    """The session has ended."""


class LogOut(Command[LoggedOut]):
    """End a session."""

    refresh_token: Annotated[str, Secret()]


@cache
def log_out_command() -> type[LogOut]:
    """The command by which a front end of the library ends a session."""
    return builtin_operation(TOKEN_SERVICE, "log_out", LogOut)


class OwnAccount(Reply):
    """What the library reads of an account."""

    roles: Sequence[str]


class GetOwnAccount(Query[OwnAccount]):
    """The account of the caller; refused when its session has ended, or the account is disabled."""

    authentication: ClassVar[Authentication] = "required"


@cache
def own_account_query() -> type[GetOwnAccount]:
    """The query by which a front end of the library finds out whether a session still holds."""
    return builtin_operation(TOKEN_SERVICE, "get_account", GetOwnAccount)


def is_guarded(operation: type[Operation[Any]]) -> bool:
    """Whether an operation is for known callers only."""
    return operation.authentication == "required"


def scope_for_fields(request: Operation[Any]) -> str:
    """The scope that those fields of a request need which are given, and neither false nor null; empty if none is."""
    used = (
        scope for field, scope in request.field_scopes.items() if getattr(request, field) not in (UNSET, None, False)
    )
    return next(used, "")


def takes_secrets(operation: type[Operation[Any]]) -> bool:
    """Whether requests carry what must be sealed: fields, or an access token."""
    return holds_secrets(operation) or is_guarded(operation) or bool(operation.field_scopes)
