"""Checks that a port is free before anything else is started."""

import socket

# The variables that set the ports of a service, after its name.
PORT, METRICS_PORT = "PORT", "METRICS_PORT"


class PortTaken(Exception):
    """A port is in use by another program. The operator has to fix it."""


def check_port(service: str, host: str, port: int, variable: str = PORT) -> None:
    """Raises PortTaken, which names the variable that sets the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = f"set {service.upper()}_{variable} to another port"
            raise PortTaken(f"Port {port} on {host} is not free for {service} ({error.strerror}): {remedy}.") from None
