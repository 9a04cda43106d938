"""The service that the handlers of auth register with."""

from typing import cast

from auth.settings import AuthSettings
from bus import Service

auth = Service("auth", settings=AuthSettings)

# Hashing a password is most of the work, and releases the interpreter lock: each thread is a hashing slot. A handler
# with threads has a transaction of its own, so none is open while it hashes; those that are seldom called have one.
HASHING_THREADS = 4


def settings() -> AuthSettings:
    """The settings of this process."""
    return cast(AuthSettings, auth.settings)
