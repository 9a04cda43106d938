"""Logs: one structured line for each event, on standard error."""

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer


def configure_logs(level: str) -> None:
    """Set up logging for this process: lines for people on a terminal, JSON anywhere else."""
    pretty = sys.stderr.isatty()
    # Bytes, for a line is on the way of every message, and text would be encoded twice.
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
    # pika tells every lost connection itself, at length; ours is one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


# Local variables hold what callers sent, passwords among it: a trace shows lines of code alone.
_traces = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


_encoder = msgspec.json.Encoder(enc_hook=str)


def _to_json(event: Any, **_: Any) -> bytes:
    return _encoder.encode(event)
