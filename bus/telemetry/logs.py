"""Logs: one structured line for each event, on standard error."""

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer


def configure_logs(level: str) -> None:
    """Set up logging for this process: readable lines on a terminal, JSON anywhere else."""
    pretty = sys.stderr.isatty()
    # Bytes, because every message writes a line, and text would be encoded twice.
    renderer: Any = structlog.processors.JSONRenderer(_to_json)
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if pretty:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if pretty else [_traces]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # pika logs each lost connection at length; we log it in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


# Local variables hold data of callers, such as passwords. So a stack trace shows lines of code only.
_traces = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


_encoder = msgspec.json.Encoder(enc_hook=str)


def _to_json(event: Any, **_: Any) -> bytes:
    return _encoder.encode(event)
