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
