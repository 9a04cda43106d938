"""The pages to call operations: a form for each, made of the contract, and the reply.

A call of an operation that changes something is recorded with its service before it is sent, and is not sent if that
fails. Values of fields are recorded nowhere.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import Conflict, NotFound

from bus.client.client import ANSWER_SECONDS
from bus.console.access import Session
from bus.console.console import Console
from bus.console.forms import VALUE, FormField, filled, form_of, request_of
from bus.contract.builtin import is_send, outcome_query_of
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation, service_of
from bus.contract.operator.actions import RecordCall
from bus.contract.problems import Problem, ProblemError, ReplyTimeout, Unavailable
from bus.http.documents.description import words
from bus.http.documents.examples import known_examples
from bus.http.pages.field_words import fields_in_words
from bus.http.pages.guide import needs_of
from bus.messaging.message import Message, check_message_id
from bus.messaging.replies import ACCEPTED, status_of

# Headers of a reply that say something to a person.
SHOWN_HEADERS = ("location", "etag", "link", "retry-after", "www-authenticate", "traceparent")
# Ids of transient commands that are remembered, so that a form that comes twice is carried out once.
MOST_REMEMBERED = 1000


@dataclass(frozen=True)
class Answer:
    """What came of a call: a reply, or a problem that kept it from one. `was_sent`: the request has left the console.

    `outcome` is the path of the page that finds out what became of a command that is not done yet.
    """

    status: int
    body: str
    headers: Mapping[str, str]
    problem: Problem | None = None
    was_sent: bool = True
    outcome: str = ""


def add_calling(app: Flask, console: Console) -> None:
    """Add all pages under `/call`."""
    pages = _Pages(console)
    app.add_url_rule("/call", "call_list", pages.all_operations)
    app.add_url_rule("/call/<name>", "call_form", pages.form)
    app.add_url_rule("/call/<name>", "call", pages.call, methods=["POST"])


class _Pages:
    """The views."""

    def __init__(self, console: Console) -> None:
        self._console, self._once = console, _Once()

    def all_operations(self) -> Response:
        """The operations of all services that are installed here."""
        offered = {
            service: [_in_words(operation) for operation in known.operations.values() if _is_offered(operation)]
            for service, known in self._console.known.items()
        }
        return self._console.page("calls.html.jinja", offered=offered)

    def form(self, name: str) -> Response:
        """The form of an operation, with the fields that the query string has; secret ones are not read from there."""
        operation = self._operation(name)
        values = request.args.to_dict()
        if "example" in values:
            values = filled(operation, (known_examples(operation) or [{}])[0]) | values
        return self._page(operation, values, uuid4().hex)

    def call(self, name: str) -> Response:
        """Send the request, and show its reply above the form."""
        operation, form = self._operation(name), request.form
        message_id = form.get("message_id", "").strip() or uuid4().hex
        answer = self._answer(operation, form, message_id)
        status = 200 if answer.was_sent else answer.status
        # What is not done or not known can be sent again under its id, with one effect.
        keeps_id = not answer.was_sent or (operation.is_durable and (answer.status >= 500 or bool(answer.outcome)))
        return self._page(operation, form, message_id if keeps_id else uuid4().hex, answer, status)

    def _answer(self, operation: type[Operation[Any]], form: Mapping[str, str], message_id: str) -> Answer:
        try:
            check_message_id(message_id)
            body = request_of(operation, form)
            if operation.operation_kind != "query":
                service, name = service_of(operation), operation.operation_name
                self._console.ask(service, RecordCall, operation=name, message_id=message_id)
        except ProblemError as error:
            return _failed(error.problem, was_sent=False)
        if operation.operation_kind == "transient":
            self._once.use(message_id)
        token = form.get("token", "").strip() or (self._own_token() if "as_me" in form else None)
        try:
            reply = self._console.client.exchange(
                operation,
                body,
                timeout=ANSWER_SECONDS,
                message_id=message_id,
                token=token,
                client_address=request.remote_addr or "",
            )
        except ReplyTimeout as late:
            if operation.is_durable:
                return Answer(ACCEPTED, "", {}, outcome=_outcome(operation, message_id, form))
            return _failed(late.problem)
        except Unavailable as error:
            return _failed(error.problem)
        return _answered(operation, reply, message_id, form)

    def _page(
        self,
        operation: type[Operation[Any]],
        values: Mapping[str, str],
        message_id: str,
        answer: Answer | None = None,
        status: int = 200,
    ) -> Response:
        fields = form_of(operation)
        faults, others = _faults(fields, answer)
        secret = {f"{VALUE}{field.name}" for field in fields if field.is_secret}
        return self._console.page(
            "call.html.jinja",
            status,
            operation=_in_words(operation),
            fields=fields,
            inner={field.name: _inside(operation, field) for field in fields if field.control == "json"},
            values={name: value for name, value in values.items() if name not in secret},
            faults=faults,
            others=others,
            message_id=message_id,
            answer=answer,
            has_secret_reply=holds_secrets(operation.reply_type),
            reads_token=operation.authentication != "none",
            needs=needs_of(operation),
            is_mine="as_me" in values or (answer is None and operation.authentication == "required"),
            has_example=bool(fields) and bool(known_examples(operation)),
        )

    def _own_token(self) -> str | None:
        """The access token of the person of this request, if they have logged in with an account."""
        session: Session = g.session
        return session.log_in.access_token if session.log_in else None

    def _operation(self, name: str) -> type[Operation[Any]]:
        known = self._console.known.get(name.partition(".")[0])
        operation = known.operations.get(name) if known else None
        if operation is None or not _is_offered(operation):
            raise NotFound(f"There is no operation {name} to call here.")
        return operation


class _Once:
    """Message ids of transient commands, whose replies are not stored: a second one would be carried out again."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, message_id: str) -> None:
        """Use an id. Raises Conflict when it was used before."""
        with self._lock:
            if message_id in self._used:
                raise Conflict("This form was sent before, and its reply is not kept. Go back, and reload the form.")
            self._used[message_id] = None
            if len(self._used) > MOST_REMEMBERED:
                self._used.popitem(last=False)


def _is_offered(operation: type[Operation[Any]]) -> bool:
    """Operators have pages of their own, and what handlers send is for workers alone."""
    return operation.authentication != "operator" and not is_send(operation.operation_name)


def _in_words(operation: type[Operation[Any]]) -> dict[str, str]:
    found = words(operation)
    return {
        "name": operation.operation_name,
        "kind": operation.operation_kind,
        "summary": found.get("summary", ""),
        "more": found.get("description", ""),
    }


def _inside(operation: type[Operation[Any]], field: FormField) -> list[tuple[str, str]]:
    """The fields inside a field, with their types."""
    prefixes = (f"{field.name}.", f"{field.name}[]")
    return [(each.name, each.kind) for each in fields_in_words(operation) if each.name.startswith(prefixes)]


def _outcome(operation: type[Operation[Any]], message_id: str, form: Mapping[str, str]) -> str:
    """The page to ask with the log-in that the command was sent with: outcomes are those of an account."""
    query = outcome_query_of(service_of(operation))
    given = {f"{VALUE}message_id": message_id, **({"as_me": "on"} if "as_me" in form else {})}
    return f"/call/{query.operation_name}?{urlencode(given)}"


def _answered(operation: type[Operation[Any]], reply: Message, message_id: str, form: Mapping[str, str]) -> Answer:
    status = status_of(reply)
    headers = {name: str(reply.headers[name]) for name in SHOWN_HEADERS if name in reply.headers}
    outcome = _outcome(operation, message_id, form) if status == ACCEPTED else ""
    problem = msgspec.json.decode(reply.body, type=Problem) if status >= 400 else None
    return Answer(status, _readable(reply.body), headers, problem, outcome=outcome)


def _failed(problem: Problem, *, was_sent: bool = True) -> Answer:
    return Answer(problem.status, "", {}, problem, was_sent)


def _readable(body: bytes) -> str:
    return msgspec.json.format(body, indent=2).decode("utf-8", "backslashreplace") if body else ""


def _faults(fields: tuple[FormField, ...], answer: Answer | None) -> tuple[dict[str, list[str]], list[str]]:
    """What is wrong with each field, by its name, and what belongs to none of them."""
    faults: dict[str, list[str]] = {}
    others = []
    names = {field.name for field in fields}
    for error in answer.problem.errors if answer and answer.problem else ():
        name, _, rest = error.pointer.removeprefix("/").partition("/")
        name = name.replace("~1", "/").replace("~0", "~")
        detail = f"{rest}: {error.detail}" if rest else error.detail
        if name in names:
            faults.setdefault(name, []).append(detail)
        else:
            others.append(f"{error.pointer}: {error.detail}")
    return faults, others
