"""The settings of auth, each an environment variable AUTH_…"""

from typing import Annotated

from msgspec import Meta

from bus import Settings


class AuthSettings(Settings):
    """`admin` is the address of the first administrator: its account gets the role at its next log-in.

    `special_domains` allows addresses in domains that only a private network knows, such as `ada@mail.local`.
    """

    admin: Annotated[str, Meta(max_length=254)] = ""
    special_domains: bool = False
    access_token_minutes: Annotated[int, Meta(ge=1, le=60)] = 10
    session_idle_days: Annotated[int, Meta(ge=1, le=365)] = 14
    session_days: Annotated[int, Meta(ge=1, le=3650)] = 90
