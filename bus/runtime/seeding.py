"""Seeding: the example data that services put into an empty system, so that new users find something there."""

import math
from collections.abc import Callable, Sequence

import structlog

from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.contract.identity import token_required
from bus.contract.problems import ReplyTimeout, Unavailable
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
    service that is closed to strangers stays empty. Raises Unavailable and ReplyTimeout when the broker refuses us.
    """
    seeds = [each.seed for each in applications if each.seed is not None] if settings.seed else []
    if not seeds:
        return True
    with RetryingClient(settings.bus_url, name="seed", seconds=math.inf, is_over=is_over, spans=spans) as client:
        try:
            for fill in seeds:
                _fill(fill, client)
        except (Unavailable, ReplyTimeout):
            if not is_over():
                raise
            return False
    return True


def _fill(fill: Callable[[Client], None], client: Client) -> None:
    try:
        fill(client)
    except Refused as refused:
        if refused.problem.code != token_required().problem.code:
            raise
        log.info("not_seeded", reason=refused.problem.detail)
