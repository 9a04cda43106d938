"""Fakes: services of which a test says what they answer, behind the real queues."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from bus.contract.operations import Operation, service_of
from bus.contract.refusals import Refusal
from bus.contract.settings import MayBeOpen
from bus.service.service import Service
from bus.service.work import Work

Fakes = Mapping[type[Operation[Any]], Callable[[Any], Any]]


class FakeFailed(Refusal, code="fake-failed", status=424):
    """The fake raised an exception, or returned something else than the reply of its operation."""


def fake_services(fakes: Fakes) -> list[Service]:
    """A service for each that the operations belong to, with the fakes as its handlers."""
    by_service: dict[str, dict[type[Operation[Any]], Callable[[Any], Any]]] = defaultdict(dict)
    for operation, fake in fakes.items():
        by_service[service_of(operation)][operation] = fake
    return [_service(name, of_service) for name, of_service in by_service.items()]


def _service(name: str, fakes: Fakes) -> Service:
    service = Service(name, settings=MayBeOpen)  # open, so that no test needs a token for what it fakes
    for operation, fake in fakes.items():
        service.handles(operation)(_handler(operation, fake))
    return service


def _handler(operation: type[Operation[Any]], fake: Callable[[Any], Any]) -> Callable[[Any, Work], Any]:
    def answer(request: Any, _work: Any) -> Any:
        """Answer at once also where the fake fails: a fault would be tried again for minutes."""
        try:
            reply = fake(request)
        except Refusal:
            raise
        except Exception as error:
            raise FakeFailed(f"The fake of {operation.__name__} raised {type(error).__name__}: {error}") from error
        if not isinstance(reply, operation.reply_type):
            expected = operation.reply_type.__name__
            raise FakeFailed(f"The fake of {operation.__name__} returned {type(reply).__name__}, not {expected}.")
        return reply

    answer.__annotations__ = {"request": operation, "_work": Work, "return": operation.reply_type}
    return answer
