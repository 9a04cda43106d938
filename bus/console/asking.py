"""Asking all services the same at the same time, so that one that does not answer holds up no other."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bus.client.client import Client
from bus.contract.operations import Operation
from bus.contract.operator.operations import operator_operations
from bus.contract.problems import ProblemError
from bus.security.operators import Operator


def ask_all(
    client: Client,
    operator: Operator,
    services: Sequence[str],
    operation: type[Operation[Any]],
    /,
    *,
    timeout: float,
    **fields: Any,
) -> dict[str, Any]:
    """The reply of each service to an operation of `bus.contract.operator`, or the ProblemError in its place."""

    def ask(service: str) -> Any:
        try:
            request = operator_operations(service)[operation](**fields)
            return client.call(request, timeout=timeout, token=operator)
        except ProblemError as error:
            return error

    with ThreadPoolExecutor(max(1, len(services)), thread_name_prefix="console-asking") as pool:
        return dict(zip(services, pool.map(ask, services), strict=True))
