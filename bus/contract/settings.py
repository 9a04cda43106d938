"""Settings that a service declares for itself, beside those that every service has."""

import msgspec

from bus.contract.operations import FrozenMeta


class Settings(msgspec.Struct, metaclass=FrozenMeta):
    """The settings of one service; each field has a default, and is an environment variable.

    The field `max_tries` of the service `shelf` is `SHELF_MAX_TRIES`, or the content of the file that
    `SHELF_MAX_TRIES_FILE` names. Types and bounds are those of the fields of a contract; true and false are 1 and 0:

        class ShelfSettings(Settings):
            max_tries: Annotated[int, Meta(ge=1, le=10)] = 3

        shelf = Service("shelf", settings=ShelfSettings)

    A field marked `Secret` is not repeated in an error message.
    """


class MayBeOpen(Settings):
    """The settings of a service that may let everyone call what needs a scope, as one does for a first look.

    `NAME_OPEN=0` closes it. What needs an account but no scope is never open: its handler works for that account.
    """

    open: bool = True


def is_open(settings: Settings) -> bool:
    """Whether the service lets everyone call what needs a scope."""
    return isinstance(settings, MayBeOpen) and settings.open
