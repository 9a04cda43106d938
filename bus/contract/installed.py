"""Installed services: those that packages name in their entry points, and their versions."""

from importlib.metadata import EntryPoints, entry_points

# The group of entry points in which packages name their services.
GROUP = "bus.services"
NOT_INSTALLED = "0"


def named_services() -> EntryPoints:
    """The entry points of all services. Loading one imports its service."""
    return entry_points(group=GROUP)


def version_of(service: str) -> str:
    """The version of the package that has the service; NOT_INSTALLED when no package has it."""
    for entry_point in named_services().select(name=service):
        if entry_point.dist is not None:
            return entry_point.dist.version
    return NOT_INSTALLED
