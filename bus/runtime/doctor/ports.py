"""Ports: whether front ends and workers can have theirs, or have them already."""

import http.client
import json
from typing import Any

from bus.runtime.doctor.finding import Finding, ok, wrong
from bus.runtime.servers import METRICS_PORT, PortTaken, check_port

# A front end answers this within its own second, a worker at once; what does not is none.
ASK_SECONDS = 3.0
# What a front end tells that cannot reach its service; no service has such a name.
NOT_READY = "not ready"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not listened on


def port_finding(service: str, host: str, port: int) -> Finding:
    """Whether a port is free for a service's front end, or that front end has it."""
    try:
        check_port(service, host, port)
    except PortTaken as taken:
        holder = _service_in(_answer(host, port, "/health/ready"))
        if holder == service:
            return ok("ports", f"port {port}: its front end is there", service)
        if holder == NOT_READY:
            return ok("ports", f"port {port}: a front end is there, and is not ready now", service)
        whose = f"The front end of {holder} has port {port}. " if holder else ""
        return wrong("ports", f"{whose}{taken}", service)
    return ok("ports", f"port {port} is free", service)


def metrics_port_finding(service: str, host: str, port: int) -> Finding:
    """Whether a port is free for the metrics of a service's worker, or that worker has it."""
    try:
        check_port(service, host, port, METRICS_PORT)
    except PortTaken as taken:
        if _service_in(_answer(host, port, "/health/live")) == service:
            return ok("ports", f"port {port}: its worker is there, with metrics", service)
        return wrong("ports", str(taken), service)
    return ok("ports", f"port {port} is free for metrics", service)


def _answer(host: str, port: int, path: str) -> Any:
    """What is answered there, as far as it is JSON; None for anything else."""
    connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read(4096))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _service_in(answer: Any) -> str:
    """The service that answers, or that it is not ready; empty when it is none of ours."""
    if not isinstance(answer, dict):
        return ""
    is_problem = str(answer.get("type", "")).startswith("urn:errand:problem:")
    return NOT_READY if is_problem else str(answer.get("service", ""))
