"""The service that the handlers of auth register with."""

from typing import cast

from auth.settings import AuthSettings
from bus import Service

# Hashing a password is most of the work, and releases the interpreter lock: each thread is a hashing slot.
HASHING_THREADS = 4

auth = Service("auth", threads=HASHING_THREADS, settings=AuthSettings)


def settings() -> AuthSettings:
    """The settings of this process."""
    return cast(AuthSettings, auth.settings)
