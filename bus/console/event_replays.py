"""The pages on which stored events are sent again: which, to whom, what that would be, and the beginning."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, request

from bus.client.replay import TAKE_SECONDS
from bus.console.actions import go_on
from bus.console.console import Console
from bus.console.form_values import MOST_RATE, RATE, chosen_rate, chosen_reason
from bus.contract.operator.events import (
    MAX_EVENTS,
    MAX_QUEUE_BYTES,
    QUEUE_TOO_LONG,
    BeginEventReplay,
    CountEvents,
    EventFilter,
)
from bus.contract.problems import ProblemError
from bus.contract.times import time_of

MAX_WORD = 255
# What the form begins with.
SINCE = "1d"
_FIELDS = ("service", "since", "until", "name", "queue")
_NOT_A_TIME = "This is not a time: use ISO 8601 in UTC, such as 2026-11-25T08:00, or an age such as 2h or 3d."


def add_event_replays(app: Flask, console: Console) -> None:
    """Add all pages under `/events/replay`."""
    pages = _Pages(console)
    app.add_url_rule("/events/replay", "event_replay", pages.form)
    app.add_url_rule("/events/replay", "event_replay_preview", pages.preview, methods=["POST"])
    app.add_url_rule("/events/replay/begin", "event_replay_begin", pages.begin, methods=["POST"])


class _Pages:
    """The views."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def form(self) -> Response:
        """What to send again, and to whom."""
        return self._form({"since": SINCE, **request.args.to_dict()})

    def preview(self) -> Response:
        """How many events a replay would send; shows the form again where something in it is wrong."""
        values = {name: request.form.get(name, "").strip()[:MAX_WORD] for name in _FIELDS}
        moments, faults = _moments(values)
        if values["service"] not in self._console.watcher.services:
            faults["service"] = "Choose a service."
        if not values["queue"]:
            faults["queue"] = "Name the queue of the listener, such as feed.events."
        elif len(values["queue"].encode()) > MAX_QUEUE_BYTES:
            faults["queue"] = QUEUE_TOO_LONG
        elif values["queue"] in self._queues(of_listeners=False):
            faults["queue"] = "This queue is not for events. Those of a listener are called SERVICE.events."
        if faults:
            return self._form(values, faults, 422)
        try:
            chosen = {"filter": EventFilter(**moments, name=values["name"])}
            found = self._console.ask(values["service"], CountEvents, timeout=TAKE_SECONDS, **chosen)
        except ProblemError as error:
            return self._form(values, _faults(error), error.problem.status)
        if found.until <= moments["since"]:
            return self._form(values, {"since": "This is in the future."}, 422)
        return self._console.page(
            "event_replay_preview.html.jinja",
            chosen=chosen["filter"],
            service_name=values["service"],
            queue=values["queue"],
            found=found,
            most_events=MAX_EVENTS,
            is_listener=values["queue"] in self._queues(of_listeners=True),
            rate=RATE,
            most_rate=MOST_RATE,
        )

    def begin(self) -> Any:
        """Do what the preview has shown: its times are moments, not ages."""
        values = request.form.to_dict()
        service = values.get("service", "")
        self._console.require_service(service)
        self._console.replays.require_room()
        moments, faults = _moments(values)
        if faults:
            return self._form(values, faults, 422)
        chosen = EventFilter(**moments, name=values.get("name", "")[:MAX_WORD])
        fields = {"filter": chosen, "queue": values.get("queue", "")[:MAX_WORD], "reason": chosen_reason()}
        try:
            begun = self._console.ask(service, BeginEventReplay, timeout=TAKE_SECONDS, **fields)
        except ProblemError as error:
            return self._form(values, _faults(error), error.problem.status)
        return go_on(self._console, service, begun.action, rate=chosen_rate())

    def _form(self, values: Mapping[str, str], faults: Mapping[str, str] | None = None, status: int = 200) -> Response:
        known = self._console.known
        names = sorted(name for each in known.values() for name in each.events)
        return self._console.page(
            "event_replay.html.jinja",
            status,
            values=values,
            faults=faults or {},
            names=names,
            listeners=self._queues(of_listeners=True),
        )

    def _queues(self, *, of_listeners: bool) -> list[str]:
        """The queues of the services that are installed here: those that get events, or all others."""
        queues = (queue for each in self._console.known.values() for queue in each.queues)
        return sorted(queue.name for queue in queues if (queue.kind == "events") == of_listeners)


def _moments(values: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The times of a form, and what is wrong with them."""
    moments, faults, now = dict[str, Any](), dict[str, str](), datetime.now(UTC)
    for name in ("since", "until"):
        text = values.get(name, "")
        try:
            moments[name] = time_of(text, now) if text or name == "since" else None
        except ValueError:
            faults[name] = _NOT_A_TIME
    return moments, faults


def _faults(error: ProblemError) -> dict[str, str]:
    """What a service refuses, by the field of the form; with an empty name what no field has."""
    by_field = {each.pointer.rpartition("/")[2]: each.detail for each in error.problem.errors}
    if by_field and by_field.keys() <= set(_FIELDS):
        return by_field
    return {"": error.problem.detail or error.problem.title}
