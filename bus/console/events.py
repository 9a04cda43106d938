"""The pages of events: those that come now, live or as a list."""

from urllib.parse import urlencode

import msgspec
from flask import Flask, Response, request

from bus.console.console import FILES, Console
from bus.console.overview import stream_of
from bus.http.pages.page import part_of
from bus.messaging.topology import matches_topic

# Events on the page.
MOST_SHOWN = 50
EVENTS_STREAM = "/events/live"
MAX_WORD = 255


class EventFilter(msgspec.Struct, frozen=True):
    """What is shown: names that match a pattern, of one service, with a text in their body. Empty matches all."""

    name: str = ""
    service: str = ""
    text: str = ""


def add_events(app: Flask, console: Console) -> None:
    """Add all pages under `/events`."""
    app.add_url_rule("/events", "events", lambda: _page(console))
    app.add_url_rule(EVENTS_STREAM, "events_live", lambda: _stream(console))


def _page(console: Console) -> Response:
    chosen, is_still = _filter(), "still" in request.args
    words = {name: value for name, value in msgspec.structs.asdict(chosen).items() if value}
    return console.page(
        "events.html.jinja",
        chosen=chosen,
        stream="" if is_still else f"{EVENTS_STREAM}?{urlencode(words)}",
        other=f"/events?{urlencode(words if is_still else {**words, 'still': '1'})}",
        live=_live(console, chosen),
    )


def _stream(console: Console) -> Response:
    chosen = _filter()
    return stream_of(console, lambda: _live(console, chosen))


def _live(console: Console, chosen: EventFilter) -> str:
    seen = console.tail.look()
    matching = [each for each in seen.kept if _matches(each.name, each.body, chosen)]
    shown = matching[-MOST_SHOWN:][::-1]
    return part_of(
        "events_live.html.jinja",
        folder=FILES,
        seen=seen,
        shown=shown,
        not_shown=len(matching) - len(shown),
        forgotten=seen.count - len(seen.kept),
    )


def _matches(name: str, body: str, chosen: EventFilter) -> bool:
    return (
        (not chosen.name or matches_topic(name, chosen.name))
        and (not chosen.service or name.partition(".")[0] == chosen.service)
        and chosen.text.casefold() in body.casefold()
    )


def _filter() -> EventFilter:
    return EventFilter(
        **{name: request.args.get(name, "").strip()[:MAX_WORD] for name in EventFilter.__struct_fields__}
    )
