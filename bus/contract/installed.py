"""Installed services: those that packages name in their entry points, their versions, and what they call."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoints, entry_points
from typing import Any

from bus.contract.operations import Operation

# The group of entry points in which packages name their services.
GROUP = "bus.services"
NOT_INSTALLED = "0"


@contextmanager
def importing() -> Iterator[None]:
    """For a block that imports many modules: the garbage collector waits until its end.

    Nothing of what an import makes is garbage, and to look through all of it again and again takes a fifth of the time
    in which a command starts.
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()


def named_services() -> EntryPoints:
    """The entry points of all services. Loading one imports its service."""
    return entry_points(group=GROUP)


def version_of(service: str) -> str:
    """The version of the package that has the service; NOT_INSTALLED when no package has it."""
    for entry_point in named_services().select(name=service):
        if entry_point.dist is not None:
            return entry_point.dist.version
    return NOT_INSTALLED


def calls_of(service: str) -> Mapping[str, Sequence[type[Operation[Any]]]]:
    """What the handlers of a service call, by the names of their own operations; nothing when no package has it.

    Loads the service, and raises what importing it raises.
    """
    for entry_point in named_services().select(name=service):
        calls: Mapping[str, Sequence[type[Operation[Any]]]] = entry_point.load().service.calls
        return calls
    return {}
