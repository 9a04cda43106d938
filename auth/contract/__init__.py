"""User accounts: who registered, under which name and address."""

# All that callers and other services may know of auth; they import it from here. The docstring is the summary in
# auth's OpenAPI and AsyncAPI documents.
#
# A feature is one file: `registration.py` declares its requests, replies and refusals, and the file of the same name
# in `auth/handlers/` carries them out. `accounts.py` has what features share. A new feature is a new file, imported
# and named in `__all__` here; `docs/contract/` then shows what has changed for callers (CONTRIBUTING.md).
#
# The imports are not sorted: documents and pages list operations and events in this order.

from auth.contract.accounts import (
    Account,
    Email,
    GivenPassword,
    Password,
    SessionOver,
    TooManyTries,
    User,
    UserChanged,
    UserDeleted,
    UserId,
    Username,
    WrongPassword,
)
from auth.contract.registration import EmailTaken, SpecialDomain, UsernameTaken, UserRegistered, Register
from auth.contract.login import (
    Device,
    InvalidRefreshToken,
    LoggedOut,
    Login,
    RefreshToken,
    TokenReused,
    Tokens,
    WrongCredentials,
    LogIn,
    Refresh,
    LogOut,
)
from auth.contract.sessions import (
    Session,
    SessionChanged,
    SessionId,
    SessionNotFound,
    Sessions,
    SessionsEnded,
    ListSessions,
    EndSession,
    EndOtherSessions,
)
from auth.contract.profile import AccountDeleted, DisplayName, GetAccount, UpdateAccount, DeleteAccount
from auth.contract.passwords import PasswordChanged, WeakPassword, ChangePassword
from auth.contract.activity import ActivityEntry, ActivityPage, GetActivity, GetActivityOf
from auth.contract.administration import (
    LastAdmin,
    ListedUser,
    Role,
    UserNotFound,
    UserPage,
    ListUsers,
    GetUser,
    SetRoles,
    DisableUser,
    EnableUser,
)
from auth.contract.tokens import GetJwks

__all__ = [
    "Account",
    "AccountDeleted",
    "ActivityEntry",
    "ActivityPage",
    "ChangePassword",
    "DeleteAccount",
    "Device",
    "DisableUser",
    "DisplayName",
    "Email",
    "EmailTaken",
    "EnableUser",
    "EndOtherSessions",
    "EndSession",
    "GetAccount",
    "GetActivity",
    "GetActivityOf",
    "GetJwks",
    "GetUser",
    "GivenPassword",
    "InvalidRefreshToken",
    "LastAdmin",
    "ListSessions",
    "ListUsers",
    "ListedUser",
    "LogIn",
    "LogOut",
    "LoggedOut",
    "Login",
    "Password",
    "PasswordChanged",
    "Refresh",
    "RefreshToken",
    "Register",
    "Role",
    "Session",
    "SessionChanged",
    "SessionId",
    "SessionNotFound",
    "SessionOver",
    "Sessions",
    "SessionsEnded",
    "SetRoles",
    "SpecialDomain",
    "TokenReused",
    "Tokens",
    "TooManyTries",
    "UpdateAccount",
    "User",
    "UserChanged",
    "UserDeleted",
    "UserId",
    "UserNotFound",
    "UserPage",
    "UserRegistered",
    "Username",
    "UsernameTaken",
    "WeakPassword",
    "WrongCredentials",
    "WrongPassword",
]
