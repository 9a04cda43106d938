"""The page of one request: what became of it, in the words of `bus.client.request_story`."""

from collections.abc import Sequence
from functools import partial

from flask import Flask, Response, request

from bus.client.request_story import Story, story_of
from bus.console.console import Console
from bus.console.watching import ANSWER_SECONDS, QueueNow
from bus.contract.operator.requests import GetRequest, KnownOfRequest


def add_requests(app: Flask, console: Console) -> None:
    """Add `/requests`."""
    app.add_url_rule("/requests", "requests", lambda: _page(console))


def _page(console: Console) -> Response:
    which = request.args.get("id", "").strip()
    story = story_of(which, console.watcher.services, partial(_ask, console)) if which else Story(which)
    return console.page("request.html.jinja", which=which, story=story, queues=_where_messages_wait(console))


def _ask(console: Console, service: str, question: GetRequest) -> KnownOfRequest:
    known: KnownOfRequest = console.ask(
        service, GetRequest, timeout=ANSWER_SECONDS, which=question.which, by=question.by
    )
    return known


def _where_messages_wait(console: Console) -> Sequence[QueueNow]:
    """The queues with messages, as they were a second ago. A queue cannot be searched without changing it."""
    queues = [queue for service in console.watcher.overview.services for queue in service.queues]
    return [queue for queue in queues if queue.ready or queue.unacknowledged]
