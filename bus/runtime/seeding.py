"""Seeding: the example data that services put into an empty system, so that new users find something there."""

import math
from collections.abc import Callable, Sequence

import structlog

from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.contract.identity import token_required
from bus.contract.problems import ProblemError
from bus.contract.refusals import Refused
from bus.runtime.settings import Settings
from bus.service.application import Application
from bus.telemetry.spans import Spans

log = structlog.get_logger("bus.runtime")


def seed(
    applications: Sequence[Application], settings: Settings, is_over: Callable[[], bool], spans: Spans | None = None
) -> bool:
    """Let the services fill an empty system, unless SEED is 0. Returns False if `is_over()` became true meanwhile.

    Tries until the services answer, however long that takes: workers may still be starting, or a database be away. A
    service that cannot be filled stays empty, as one that is closed to strangers, and the log says why.
    """
    seeds = [each.seed for each in applications if each.seed is not None] if settings.seed else []
    if not seeds:
        return True
    with RetryingClient(settings.bus_url, name="seed", seconds=math.inf, is_over=is_over, spans=spans) as client:
        for fill in seeds:
            _fill(fill, client, is_over)
    return not is_over()


def _fill(fill: Callable[[Client], None], client: Client, is_over: Callable[[], bool]) -> None:
    try:
        fill(client)
    except ProblemError as problem:
        is_closed = isinstance(problem, Refused) and problem.problem.code == token_required().problem.code
        if not is_over():
            (log.info if is_closed else log.warning)("not_seeded", reason=problem.problem.detail)
    except Exception:  # the service's own code
        log.exception("not_seeded")
