"""What is installed: the services that packages name in their entry points, and their versions."""

from importlib.metadata import EntryPoints, entry_points

# Where packages name their services.
GROUP = "bus.services"
NOT_INSTALLED = "0"


def named_services() -> EntryPoints:
    """The entry points of all services; to load one imports it."""
    return entry_points(group=GROUP)


def version_of(service: str) -> str:
    """The version of the package that the service is installed with; NOT_INSTALLED for one that is not."""
    for entry_point in named_services().select(name=service):
        if entry_point.dist is not None:
            return entry_point.dist.version
    return NOT_INSTALLED
