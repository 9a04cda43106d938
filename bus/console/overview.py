"""The overview: all services with their workers and queues, what is wrong on top; live, or with a reload."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from queue import Empty

import msgspec
from flask import Flask, Response

from bus.console.charts import HEIGHT, WIDTH, chart_of
from bus.console.console import FILES, Console
from bus.console.findings import counted, findings_of
from bus.console.watching import LOOK_SECONDS, Overview
from bus.http.pages.page import part_of
from bus.messaging.waiting import mailbox

# A stream ends after this long; the browser opens another one this soon, if the session still holds. With the time
# after which auth is asked (`access.py`), that is less than a minute.
STREAM_SECONDS, RETRY_MS = 30.0, 500

# Where the overview comes from again and again, as server-sent events.
STREAM = "/live"


def add_overview(app: Flask, console: Console) -> None:
    """Add `/`, and STREAM, which has the same as server-sent events."""
    app.add_url_rule("/", "overview", lambda: _page(console))
    app.add_url_rule(STREAM, "live_events", lambda: stream_of(console, lambda: _live(console.watcher.overview)))


def _page(console: Console) -> Response:
    return console.page("overview.html.jinja", live=_live(console.watcher.overview))


def _live(overview: Overview) -> str:
    """The part of the page that changes."""
    charts = {service.name: chart_of(service.arrived, service.done) for service in overview.services}
    return part_of(
        "live.html.jinja",
        folder=FILES,
        overview=overview,
        seen_at=f"{datetime.fromtimestamp(overview.at, UTC):%H:%M:%S}",
        findings=findings_of(overview),
        charts=charts,
        counted=counted,
        width=WIDTH,
        height=HEIGHT,
    )


def stream_of(console: Console, part: Callable[[], str]) -> Response:
    """Server-sent events with a part of a page, made again and again until the console stops or the stream is old."""
    return Response(_events(console, part), content_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _events(console: Console, part: Callable[[], str]) -> Iterator[bytes]:
    pause, until = mailbox(), time.monotonic() + STREAM_SECONDS
    yield b"retry: %d\n" % RETRY_MS
    while time.monotonic() < until and not console.stopping.is_set():
        yield b"data: " + msgspec.json.encode(part()) + b"\n\n"
        try:
            pause.get(timeout=LOOK_SECONDS)
        except Empty:
            continue
