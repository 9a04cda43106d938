"""Compatibility: what callers and listeners lose between two states of a service's documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bus.http.documents.asyncapi import PERSISTENT
from bus.http.documents.schema_diff import Side, losses
from bus.http.documents.schemas import Schema
from bus.messaging.message import JSON

Document = dict[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Break:
    """An incompatible change: `field` is empty when it is about the operation or event as a whole."""

    operation: str
    field: str
    loses: str

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.operation}:", self.field, self.loses) if part)


def breaks(old: tuple[Document, Document], new: tuple[Document, Document]) -> list[Break]:
    """What is lost between two pairs of OpenAPI and AsyncAPI documents. What both say is said once."""
    found = [*_over_http(old[0], new[0]), *_on_queues(old[1], new[1])]
    return list(dict.fromkeys(found))


def _over_http(old: Document, new: Document) -> Iterator[Break]:
    before, after = _routes(old), _routes(new)
    for name, (route, operation) in before.items():
        if name not in after:
            yield Break(name, "", f"{route} is gone")
            continue
        now, changed = after[name]
        if now != route:
            yield Break(name, "", f"{route} is {now} now")
        request, reply = Side(_fields(operation), old), Side(_fields(changed), new)
        yield from _lost(name, "request", request, reply, is_told=False)
        yield from _answers(name, operation["responses"], changed["responses"], old, new)


def _routes(document: Document) -> dict[str, tuple[str, Document]]:
    """By operation: its method and path, and its object."""
    return {
        item[method]["operationId"]: (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    }


def _fields(operation: Document) -> Schema:
    """All fields of a request, wherever they come in; headers are not of the service's making."""
    parameters = [each for each in operation.get("parameters", ()) if each["in"] != "header"]
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema", {})
    required = [each["name"] for each in parameters if each.get("required")]
    return {
        "type": "object",
        "properties": {each["name"]: each["schema"] for each in parameters} | body.get("properties", {}),
        "required": [*required, *body.get("required", ())],
    }


def _answers(name: str, before: Document, after: Document, old: Document, new: Document) -> Iterator[Break]:
    status, reply = _success(before)
    now, changed = _success(after)
    if now != status:
        yield Break(name, "", f"the status of success is {now}, was {status}")
    if "Location" in reply.get("headers", {}) and "Location" not in changed.get("headers", {}):
        yield Break(name, "", "the answer has no Location any more")
    told = Side(changed["content"][JSON]["schema"], new)
    yield from _lost(name, "reply", told, Side(reply["content"][JSON]["schema"], old), is_told=True)


def _success(responses: Document) -> tuple[int, Document]:
    """The one that is no problem; "not yet" only where there is no other."""
    status = min((status for status in responses if status < "300"), key=lambda status: (status == "202", status))
    return int(status), responses[status]


def _on_queues(old: Document, new: Document) -> Iterator[Break]:
    for name, operation in old["operations"].items():
        if name not in new["operations"]:
            yield Break(name, "", "it is gone")
        elif operation["action"] != new["operations"][name]["action"]:
            yield Break(name, "", "what was taken is told now, or the other way round")
        elif "reply" in operation:
            yield from _on_queue(name, old, new)
        elif "event" in old["channels"][name]["messages"]:
            before, after = (each["channels"][name]["messages"]["event"]["payload"] for each in (old, new))
            yield from _lost(name, "event", Side(after, new), Side(before, old), is_told=True)


def _on_queue(name: str, old: Document, new: Document) -> Iterator[Break]:
    before, after = (_kind(each["operations"][name]) for each in (old, new))
    if before != after:
        yield Break(name, "", f"it is a {after} now, was a {before}")
    given, taken = (each["channels"][name]["messages"]["request"]["payload"] for each in (old, new))
    yield from _lost(name, "request", Side(given, old), Side(taken, new), is_told=False)
    had, has = (each["channels"][f"{name}.reply"]["messages"] for each in (old, new))
    was, now = _status(had["done"]), _status(has["done"])
    if was != now:
        yield Break(name, "", f"the status of success is {now}, was {was}")
    told, read = Side(has["done"]["payload"], new), Side(had["done"]["payload"], old)
    yield from _lost(name, "reply", told, read, is_told=True)
    yield from _refusals(name, had, has)


def _refusals(name: str, had: Document, has: Document) -> Iterator[Break]:
    """One that is gone is no loss. Its code is what callers know it by, its class what its author does."""
    before, after = _codes(had), _codes(has)
    statuses = {code: (refusal, status) for refusal, (code, status) in after.items()}
    for refusal, (code, status) in before.items():
        if code in statuses:
            now = statuses[code][1]
            if now != status:
                yield Break(name, "", f"the refusal {code} has the status {now}, was {status}")
        elif refusal in after:
            yield Break(name, "", f"the refusal {code} has the code {after[refusal][0]} now")


def _codes(messages: Document) -> dict[str, tuple[str, int]]:
    """Refusals by their class: code and status."""
    found = {}
    for name, message in messages.items():
        if "allOf" in message["payload"]:
            declared = message["payload"]["allOf"][1]["properties"]
            found[name] = (declared["code"]["const"], declared["status"]["const"])
    return found


def _kind(operation: Document) -> str:
    return "command" if operation["bindings"]["amqp"]["deliveryMode"] == PERSISTENT else "query"


def _status(message: Document) -> int:
    status: int = message["headers"]["properties"]["status"]["const"]
    return status


def _lost(name: str, where: str, given: Side, taken: Side, *, is_told: bool) -> Iterator[Break]:
    for loss in losses(given, taken, is_told=is_told):
        yield Break(name, f"{where} {loss.field}".rstrip(), loss.reason)
