"""User accounts: who registered, under which name and address."""

# All that callers and other services may know of auth; they import it from here. The docstring is the summary in
# auth's OpenAPI and AsyncAPI documents.
#
# A feature is one file: `registration.py` declares its requests, replies and refusals, and the file of the same name
# in `auth/handlers/` carries them out. `accounts.py` has what features share. A new feature is a new file, imported
# and named in `__all__` here; `docs/contract/` then shows what has changed for callers (CONTRIBUTING.md).
#
# The imports are not sorted: documents and pages list operations and events in this order.

from auth.contract.accounts import Email, Password, User, UserChanged, Username
from auth.contract.registration import EmailTaken, UsernameTaken, UserRegistered, Register

__all__ = [
    "Email",
    "EmailTaken",
    "Password",
    "Register",
    "User",
    "UserChanged",
    "UserRegistered",
    "Username",
    "UsernameTaken",
]
