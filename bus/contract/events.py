"""Events: facts that a service publishes once the change is committed, for any service that listens."""

from typing import Any, ClassVar, dataclass_transform

import msgspec

from bus.contract.builtin import is_send
from bus.contract.names import is_reply_address
from bus.contract.operations import OPERATION_NAME, FrozenMeta


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class _EventMeta(FrozenMeta):
    """Accepts the class keyword `name`, which msgspec's own metaclass refuses."""

    def __new__(
        mcls, class_name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, name: str = "", **options: Any
    ) -> "FrozenMeta":
        cls = super().__new__(mcls, class_name, bases, namespace, **options)
        if name:
            _declare(cls, name)
        return cls


class Event(msgspec.Struct, metaclass=_EventMeta):
    """A fact about one thing: the whole thing after the change, and the number of the change.

    Declare one with its name on the wire (`service.thing_happened`), which is its routing key on the exchange
    `bus.events`, and with a field `version` that counts the changes of the thing:

        class ProductChanged(Event, name="catalog.product_changed"):
            id: int
            price: Decimal
            version: int

    Listeners ignore unknown fields, so fields may be added later.
    """

    operation_name: ClassVar[str] = ""


def events_in(contract: object) -> list[type[Event]]:
    """The events a contract module declares, in the order of their declaration."""
    found = (value for value in vars(contract).values() if isinstance(value, type) and issubclass(value, Event))
    return [value for value in found if value.operation_name]


def _declare(cls: Any, name: str) -> None:
    if not OPERATION_NAME.fullmatch(name) or is_reply_address(name):
        raise TypeError(f"{cls.__name__}: {name!r} is not an event name such as 'catalog.product_changed'")
    if is_send(name):
        raise TypeError(f"{cls.__name__}: {name!r} is the name of the queue of sent commands")
    if "version" not in cls.__struct_fields__:
        raise TypeError(f"{cls.__name__}: an event needs a field `version` that counts the changes of its thing")
    cls.operation_name = name
