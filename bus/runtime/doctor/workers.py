"""Workers: whether they answer."""

from datetime import UTC, datetime

from bus.client.client import Client
from bus.contract.problems import ProblemError
from bus.runtime.doctor.clock import compared
from bus.runtime.doctor.finding import Finding, ok, wrong

# A worker that is busy answers its ping all the same, in milliseconds; this is for slow machines.
ANSWER_SECONDS = 3.0


def worker_findings(client: Client, service: str) -> list[Finding]:
    """Whether a worker of the service answers through its queue and its database, and its clock."""
    before = datetime.now(UTC)
    try:
        pong = client.ping(service, timeout=ANSWER_SECONDS)
    except ProblemError as silence:
        return [wrong("workers", f"no answer: {silence}", service)]
    clock = compared("worker", service, pong.time, before, datetime.now(UTC))
    return [ok("workers", f"one answers, with {pong.database}", service), clock]
