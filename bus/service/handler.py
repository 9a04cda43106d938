"""Handlers: the functions of a service behind its operations and for events, with their signatures checked."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sqlalchemy import Select

from bus.contract.builtin import is_send
from bus.contract.events import Event
from bus.contract.operations import Operation, service_of

# How many requests of a handler that calls other services are carried out at the same time: most of the time it waits.
CALLING_THREADS = 8


@dataclass(frozen=True)
class Handler:
    """A function of (request, work), of (list of requests, work) if it `takes_many`, or of (event, work).

    `calls` are the operations that it may call, `sends` the commands that it may send. With `threads` above 0 each of
    its requests has a transaction of its own, and that many are carried out at the same time.
    """

    service: str
    operation: type[Operation[Any]] | type[Event]
    function: Callable[[Any, Any], Any]
    takes_many: bool = False
    calls: tuple[type[Operation[Any]], ...] = ()
    threads: int = 0
    sends: tuple[type[Operation[Any]], ...] = ()

    @property
    def verb(self) -> Literal["call", "send"]:
        """What is done with its `calls`: the handler of `SERVICE.send` sends what others have given to `work.send`."""
        return "send" if is_send(self.operation.operation_name) else "call"


@dataclass(frozen=True)
class PeriodicHandler:
    """A function of (work) that one worker of the service runs every `seconds`, or of (job) that each worker runs.

    `when` is a statement that finds a row while there is something to do; None stands for always. `sends` are the
    commands that it may send.
    """

    service: str
    name: str
    function: Callable[[Any], None]
    seconds: float
    when: Select[Any] | None
    sends: tuple[type[Operation[Any]], ...] = ()
    takes_job: bool = False


def check_signature(function: Callable[..., Any], operation: type[Operation[Any]], *, takes_many: bool) -> None:
    """What a type checker would say, for authors who run none. Raises TypeError."""
    check_parameters(function, list[operation] if takes_many else operation)  # type: ignore[valid-type]
    result = get_type_hints(function).get("return")
    if not takes_many and result is not operation.reply_type:
        raise TypeError(f"{function.__name__} must return {operation.reply_type.__name__}, not {_in_source(result)}")


def check_calls(service: str, operation: type[Operation[Any]], calls: Sequence[Any]) -> None:
    """Raises TypeError for what a handler of this operation cannot call."""
    name = operation.operation_name
    for called in calls:
        if not (isinstance(called, type) and issubclass(called, Operation) and called.operation_name):
            raise TypeError(f"{name} calls {called!r}, which is no operation: give the class from the other's contract")
        if service_of(called) == service:
            raise TypeError(f"{name} calls {called.operation_name} of its own service: call its function instead")
        if operation.operation_kind == "query" and called.operation_kind != "query":
            raise TypeError(f"{name} calls the command {called.operation_name}: a query may only call queries")


def check_parameters(function: Callable[..., Any], *before: Any, last: str = "Work") -> None:
    """Raises TypeError unless the parameters are annotated as (Work), with at most one type `before` it."""
    hints = get_type_hints(function)
    hints.pop("return", None)
    given = tuple(hints.values())
    if len(inspect.signature(function).parameters) != len(before) + 1 or given[: len(before)] != before:
        expected = ", ".join([*map(_in_source, before), last])
        raise TypeError(f"{function.__name__}: annotate its parameters as ({expected})")


def _in_source(hint: Any) -> str:
    """A type hint as its author writes it, without modules."""
    if isinstance(hint, UnionType):
        return " | ".join(map(_in_source, get_args(hint)))
    if arguments := get_args(hint):
        return f"{_in_source(get_origin(hint))}[{', '.join(map(_in_source, arguments))}]"
    return hint.__name__ if isinstance(hint, type) else str(hint)
