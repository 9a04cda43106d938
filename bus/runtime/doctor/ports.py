"""Checks of the ports: each must be free, or in use by the front end or worker it belongs to."""

import json
from typing import Any

from bus.runtime.doctor.findings import ANSWER_SECONDS, Finding, ok, wrong
from bus.runtime.local_http import ask
from bus.runtime.ports import METRICS_PORT, PortTaken, check_port

# Stands for a front end that is not ready and so does not say its name; no service has this name.
NOT_READY = "not ready"


def port_finding(service: str, host: str, port: int) -> Finding:
    """Whether the port of a service's front end is free, or used by that front end."""
    try:
        check_port(service, host, port)
    except PortTaken as taken:
        holder = _service_in(_answer(host, port, "/health/ready"))
        if holder == service:
            return ok("ports", f"port {port} is used by its front end", service)
        if holder == NOT_READY:
            return ok("ports", f"port {port} is used by a front end that is not ready", service)
        user = f"The front end of {holder} uses port {port}. " if holder else ""
        return wrong("ports", f"{user}{taken}", service)
    return ok("ports", f"port {port} is free", service)


def metrics_port_finding(service: str, host: str, port: int) -> Finding:
    """Whether the metrics port of a service's worker is free, or used by that worker."""
    try:
        check_port(service, host, port, METRICS_PORT)
    except PortTaken as taken:
        if _service_in(_answer(host, port, "/health/live")) == service:
            return ok("ports", f"port {port} is used by its worker for metrics", service)
        return wrong("ports", str(taken), service)
    return ok("ports", f"port {port} is free for metrics", service)


def _answer(host: str, port: int, path: str) -> Any:
    """The answer at this address if it is JSON; None for anything else."""
    try:
        return json.loads(ask(host, port, path, ANSWER_SECONDS)[1])
    except (ValueError, RecursionError):
        return None


def _service_in(answer: Any) -> str:
    """The name of the service that answers, or NOT_READY; empty for a program that is not ours."""
    if not isinstance(answer, dict):
        return ""
    is_problem = str(answer.get("type", "")).startswith("urn:errand:problem:")
    return NOT_READY if is_problem else str(answer.get("service", ""))
