"""What the pages of a console share: the client, the sessions, what is watched, and the frame around each page."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Response, g, request
from werkzeug.exceptions import NotFound

from bus.client.client import ANSWER_SECONDS, Client
from bus.console.access import Access, Session
from bus.console.asking import ask_all
from bus.console.event_tail import EventTail
from bus.console.replays import Replays
from bus.console.watching import Watcher
from bus.contract.events import Event
from bus.contract.operations import Operation
from bus.contract.operator.operations import operator_operations
from bus.contract.operator.state import QueueInState
from bus.contract.problems import ProblemError
from bus.http.pages.page import made_of
from bus.security.operators import Operator

FILES = Path(__file__).parent / "templates"
# Scripts, streams of events and forms are our own.
POLICY = {"script-src": "'self'", "connect-src": "'self'", "form-action": "'self'"}


@dataclass(frozen=True)
class Known:
    """What is installed here of a service: its queues, and its operations and events by name."""

    queues: Sequence[QueueInState]
    operations: Mapping[str, type[Operation[Any]]]
    events: Mapping[str, type[Event]] = field(default_factory=dict)


class Console:
    """What the pages share. `operator_token` signs what the people who are logged in ask of the services.

    `stopping` is set when the console stops: streams end then, which a server would wait for.
    """

    def __init__(
        self, client: Client, url: str, operator_token: str, access: Access, known: Mapping[str, Known]
    ) -> None:
        self.client, self.access, self.known = client, access, known
        self._operator_token, self.stopping = operator_token, threading.Event()
        self.replays = Replays(client)
        queues = {name: each.queues for name, each in known.items()}
        self.tail = EventTail(url, {name: event for each in known.values() for name, event in each.events.items()})
        self.watcher = Watcher(client, url, Operator("the console", operator_token), queues)

    def operator(self) -> Operator:
        """The person of this request."""
        session: Session = g.session
        return Operator(f"{session.name} (console)", self._operator_token)

    def ask(
        self, service: str, operation: type[Operation[Any]], /, *, timeout: float = ANSWER_SECONDS, **fields: Any
    ) -> Any:
        """The reply to an operation of `bus.contract.operator`, asked by the person of this request.

        Raises ProblemError.
        """
        request = operator_operations(service)[operation](**fields)
        return self.client.call(request, timeout=timeout, token=self.operator())

    def ask_all(
        self, services: Sequence[str], operation: type[Operation[Any]], /, **fields: Any
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The replies of several services, by name, and for those that did not answer, why."""
        replies = ask_all(self.client, self.operator(), services, operation, timeout=ANSWER_SECONDS, **fields)
        failed = {name: each.problem for name, each in replies.items() if isinstance(each, ProblemError)}
        answers = {name: each for name, each in replies.items() if name not in failed}
        return answers, {name: problem.detail or problem.title for name, problem in failed.items()}

    def require_service(self, name: str) -> None:
        """Raises NotFound for a service that the console does not know."""
        if name not in self.watcher.services:
            raise NotFound(f"There is no service {name}.")

    def page(self, template: str, status: int = 200, **words: Any) -> Response:
        """A page with the console's frame."""
        session: Session | None = g.get("session")
        page = made_of(
            template,
            styles=("content.css", "console.css"),
            folder=FILES,
            more_policy=POLICY,
            service="Console",
            session=session,
            services=self.watcher.services,
            path=request.path,
            **words,
        )
        return Response(page.html, status, headers={**page.headers, "Cache-Control": "no-store"})

    def start(self) -> None:
        """Start to watch the services."""
        self.watcher.start()

    def stop(self) -> None:
        """End the streams, and stop what runs in threads."""
        self.stopping.set()
        self.replays.stop_all()
        self.tail.stop()
        self.watcher.stop()
