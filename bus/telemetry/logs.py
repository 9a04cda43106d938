"""Logging: JSON for programs; on a terminal short lines, one for each message and HTTP request."""

import logging
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, TextIO

import msgspec
import structlog
from structlog.tracebacks import ExceptionDictTransformer


def configure_logs(level: str, form: str = "auto") -> None:
    """Set up logging for this process. `form` is `json`, `text`, or `auto`: text on a terminal, JSON anywhere else."""
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    stream = _Stream(sys.stderr)
    # Bytes, because every message writes a line, and text would be encoded twice.
    renderer: Any = _short_line if is_text else structlog.processors.JSONRenderer(_to_json)
    factory: Any = structlog.PrintLoggerFactory(stream) if is_text else structlog.BytesLoggerFactory(stream)  # type: ignore[arg-type]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_text else "iso", utc=not is_text),
            *([] if is_text else [_traces]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    threading.excepthook = _thread_failed
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # pika logs each lost connection at length; we log it in one line.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A thread that ends with an error is a line of the log, as everything else that goes wrong."""
    if not issubclass(failed.exc_type, SystemExit):
        name = failed.thread.name if failed.thread else ""
        structlog.get_logger("bus").error("thread_failed", thread=name, exc_info=failed.exc_value)


class _Stream:
    """Standard error. A line that cannot be written is lost: a closed pipe or a full disk must not fail a request."""

    def __init__(self, stream: TextIO) -> None:
        self._text, self._bytes = stream, stream.buffer

    def write(self, line: str | bytes) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            if isinstance(line, bytes):
                self._bytes.write(line)
            else:
                self._text.write(line)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._text.flush()


# Local variables hold data of callers, such as passwords. So a stack trace shows lines of code only.
_traces = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


_encoder = msgspec.json.Encoder(enc_hook=str)


def _to_json(event: Any, **_: Any) -> bytes:
    return _encoder.encode(event)


# In text these are left out of the lines for messages and requests: they help programs to connect lines.
_FOR_PROGRAMS = {"trace_id", "caller", "attempt", "queued_ms", "handler_ms", "id", "service"}


def _short_line(_logger: object, _method: str, event: Any) -> str:
    """`16:28:13 POST /products 201 17ms`, `16:28:13 catalog.create_product answered 201 12ms`, or an event's fields."""
    error = event.pop("exc_info", None)
    time, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    words = [time] if level in ("info", "debug") else [time, level]
    hidden = {"trace_id"}
    if name == "http":
        words += [event["method"], event.get("path", event["route"]), event["status"], f"{event['ms']:.0f}ms"]
        hidden = _FOR_PROGRAMS | {"method", "path", "route", "status", "ms", "operation"}
    elif "operation" in event and "ms" in event:
        words += [event["operation"], name, *([event["status"]] if "status" in event else []), f"{event['ms']:.0f}ms"]
        hidden = _FOR_PROGRAMS | {"operation", "status", "ms"}
    else:
        words.append(name)
    words += [f"{key}={value}" for key, value in event.items() if key not in hidden]
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(map(str, words)))
    return f"{line}\n{_stack(error)}".rstrip()


def _stack(error: Any) -> str:
    if isinstance(error, BaseException):
        return "".join(traceback.format_exception(error))
    return "".join(traceback.format_exception(*sys.exc_info())) if error else ""
