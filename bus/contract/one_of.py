"""Objects that are one of several things, and say which by the name of their only field."""

from typing import Any

import msgspec
from msgspec import UNSET

from bus.contract.operations import FrozenMeta


class OneOf(msgspec.Struct, metaclass=FrozenMeta, forbid_unknown_fields=True):
    """An object with exactly one of its fields, for an entry of a list whose entries are of several kinds:

        class Step(OneOf):
            open: OpenAccount | UnsetType = UNSET
            close: CloseAccount | UnsetType = UNSET

    In JSON that is `{"open": {…}}` or `{"close": {…}}`. A field may have the class of a command. Another number of
    fields is a fault of the sender, and a ValueError in Python.
    """

    def __post_init__(self) -> None:
        if sum(getattr(self, name) is not UNSET for name in self.__struct_fields__) != 1:
            raise ValueError(must_have_one(type(self)))

    @property
    def kind(self) -> str:
        """The name of the field that it has."""
        return next(name for name in self.__struct_fields__ if getattr(self, name) is not UNSET)

    @property
    def content(self) -> Any:
        """The value of the field that it has."""
        return getattr(self, self.kind)


def must_have_one(declared: type[OneOf]) -> str:
    """What is asked of an object of this class, in words."""
    return f"Expected exactly one of the fields {', '.join(declared.__struct_encode_fields__)}."
