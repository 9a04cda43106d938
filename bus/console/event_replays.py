"""The pages on which stored events are sent again: which, to whom, what that would be, and the beginning."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, request

from bus.client.replay import TAKE_SECONDS
from bus.console.actions import go_on
from bus.console.console import Console
from bus.console.form_values import MOST_RATE, RATE, chosen_rate, chosen_reason
from bus.contract.operator.events import MAX_EVENTS, BeginEventReplay, CountEvents, EventFilter
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
        faults = {}
        if values["service"] not in self._console.watcher.services:
            faults["service"] = "Choose a service."
        if not values["queue"]:
            faults["queue"] = "Name the queue of the listener, such as feed.events."
        moments: dict[str, datetime | None] = {}
        for name in ("since", "until"):
            try:
                moments[name] = time_of(values[name], datetime.now(UTC)) if values[name] or name == "since" else None
            except ValueError:
                faults[name] = _NOT_A_TIME
        since, until = moments.get("since"), moments.get("until")
        if since and until and until <= since:
            faults["until"] = "This is not later than the beginning."
        if faults or since is None:
            return self._form(values, faults, 422)
        chosen = EventFilter(since=since, until=until, name=values["name"])
        try:
            found = self._console.ask(values["service"], CountEvents, timeout=TAKE_SECONDS, filter=chosen)
        except ProblemError as error:
            return self._form(values, {"": error.problem.detail or error.problem.title}, error.problem.status)
        return self._console.page(
            "event_replay_preview.html.jinja",
            chosen=chosen,
            service_name=values["service"],
            queue=values["queue"],
            found=found,
            most_events=MAX_EVENTS,
            is_listener=values["queue"] in self._listeners(),
            rate=RATE,
            most_rate=MOST_RATE,
        )

    def begin(self) -> Any:
        """Do what the preview has shown: its times are moments, not ages."""
        service, form = request.form.get("service", ""), request.form
        self._console.require_service(service)
        self._console.replays.require_room()
        try:
            moments = {name: time_of(form.get(name, ""), datetime.now(UTC)) for name in ("since", "until")}
        except ValueError:
            return self._form(form.to_dict(), {"": _NOT_A_TIME}, 422)
        chosen = EventFilter(**moments, name=form.get("name", "")[:MAX_WORD])
        fields = {"filter": chosen, "queue": form.get("queue", "")[:MAX_WORD], "reason": chosen_reason()}
        try:
            begun = self._console.ask(service, BeginEventReplay, timeout=TAKE_SECONDS, **fields)
        except ProblemError as error:
            return self._form(form.to_dict(), {"": error.problem.detail or error.problem.title}, error.problem.status)
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
            listeners=self._listeners(),
        )

    def _listeners(self) -> list[str]:
        """The queues of the services that are installed here and listen to events."""
        queues = (queue for each in self._console.known.values() for queue in each.queues)
        return sorted(queue.name for queue in queues if queue.kind == "events")
