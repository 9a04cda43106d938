"""Telemetry: what the trace, the log line and the metrics of a message cost a worker while no one looks at them.

`python -m bench.telemetry 2> /dev/null` prints microseconds of CPU for each message, the best of many rounds: for the
trace, for its outcome with the log line, and for that with metrics. The log lines go to standard error.
"""

from collections.abc import Callable
from time import thread_time

from bench.codec import MESSAGES, REQUEST, ROUNDS
from bus.messaging.call import Call, current_handler
from bus.messaging.message import arrived
from bus.messaging.trace_context import continued
from bus.telemetry.logs import configure_logs
from bus.telemetry.metrics import Metrics
from bus.worker.telemetry import MessageTelemetry
from catalog.contract import CreateProduct


def main() -> None:
    """Measure and print."""
    configure_logs("info", "json")
    print(_best(_trace), _best(_outcome(None)), _best(_outcome(Metrics())))


def _trace() -> None:
    """Read from the request, and sent on with the reply."""
    for _ in range(MESSAGES):
        _ = continued(REQUEST.headers).traceparent


def _outcome(metrics: Metrics | None) -> Callable[[], None]:
    telemetry = MessageTelemetry("catalog", metrics)
    delivery = arrived(REQUEST, tag=1, session=1, deaths=0)
    call = Call(CreateProduct, CreateProduct(name="Lamp", price=19, quantity=7), REQUEST.message_id)
    with current_handler([call]):
        pass

    def record() -> None:
        for _ in range(MESSAGES):
            telemetry.record("answered", delivery, call, status=201)

    return record


def _best(run: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = thread_time()
        run()
        best = min(best, thread_time() - started)
    return 1e6 * best / MESSAGES


if __name__ == "__main__":
    main()
