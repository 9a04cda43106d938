"""The handlers of auth: no HTTP, no AMQP, no commit.

A feature is one file here, of the same name as in `auth/contract/`; its rules are in `auth/domain/`. Its functions
register themselves at the service in `service.py` when the file is imported, so import each new file below.
"""

from auth.handlers import (  # in the order of the contract  # isort: skip
    registration,
    login,
    sessions,
    profile,
    verification,
    passwords,
    mails,
    activity,
    administration,
    imports,
    tokens,
    introspection,
    totp,
    clearing,
)
from auth.handlers.service import auth

__all__ = [
    "activity",
    "administration",
    "auth",
    "clearing",
    "imports",
    "introspection",
    "login",
    "mails",
    "passwords",
    "profile",
    "registration",
    "sessions",
    "tokens",
    "totp",
    "verification",
]
