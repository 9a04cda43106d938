"""The service that the handlers of auth register with."""

from typing import cast

from auth.settings import AuthSettings
from bus import Service

auth = Service("auth", settings=AuthSettings)


def settings() -> AuthSettings:
    """The settings of this process."""
    return cast(AuthSettings, auth.settings)
