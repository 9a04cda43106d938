"""Breaking changes: what callers and listeners lose between two versions of a service's documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bus.http.documents.asyncapi import CALLED_BY, PERSISTENT
from bus.http.documents.schema_diff import Side, losses
from bus.http.documents.schemas import Schema
from bus.messaging.message import JSON
from bus.messaging.replies import NO_CONTENT

Document = dict[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Break:
    """An incompatible change. `field` is empty when the operation or event as a whole changed."""

    operation: str
    field: str
    loses: str

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.operation}:", self.field, self.loses) if part)


def breaks(old: tuple[Document, Document], new: tuple[Document, Document]) -> list[Break]:
    """What is lost between two pairs of OpenAPI and AsyncAPI documents, each loss once."""
    found = [*_over_http(old[0], new[0]), *_on_queues(old[1], new[1])]
    return list(dict.fromkeys(found))


def _over_http(old: Document, new: Document) -> Iterator[Break]:
    before, after = _routes(old), _routes(new)
    for name, (route, operation) in before.items():
        if name not in after:
            yield Break(name, "", f"{route} was removed")
            continue
        now, changed = after[name]
        if now != route:
            yield Break(name, "", f"{route} is now {now}")
        request, reply = Side(_fields(operation), old), Side(_fields(changed), new)
        yield from _lost(name, "request", request, reply, is_output=False)
        yield from _answers(name, operation["responses"], changed["responses"], old, new)


def _routes(document: Document) -> dict[str, tuple[str, Document]]:
    """The method with the path, and the operation object, by the name of the operation."""
    return {
        item[method]["operationId"]: (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    }


def _fields(operation: Document) -> Schema:
    """All fields of a request, in the path, the query string or the body. Headers belong to no service."""
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
        yield Break(name, "", f"the success status is {now} now, was {status}")
    if "Location" in reply.get("headers", {}) and "Location" not in changed.get("headers", {}):
        yield Break(name, "", "the reply no longer has a Location")
    if now == status == NO_CONTENT:
        return
    given, taken = Side(_schema_of(changed), new), Side(_schema_of(reply), old)
    yield from _lost(name, "reply", given, taken, is_output=True)


def _schema_of(response: Document) -> Schema:
    """That of a response in its only content type."""
    (content,) = response["content"].values()
    schema: Schema = content["schema"]
    return schema


def _success(responses: Document) -> tuple[int, Document]:
    """The response of success; 202 (not done yet) only where there is no other."""
    status = min((status for status in responses if status < "300"), key=lambda status: (status == "202", status))
    return int(status), responses[status]


def _on_queues(old: Document, new: Document) -> Iterator[Break]:
    for name, operation in old["operations"].items():
        if CALLED_BY in operation:  # no caller or listener sees what it calls itself
            continue
        if name not in new["operations"]:
            yield Break(name, "", "was removed")
        elif (action := operation["action"]) != (now := new["operations"][name]["action"]):
            yield Break(name, "", f"the action is {now} now, was {action}")
        elif "reply" in operation:
            yield from _on_queue(name, old, new)
        elif "event" in old["channels"][name]["messages"]:
            before, after = (each["channels"][name]["messages"]["event"]["payload"] for each in (old, new))
            yield from _lost(name, "event", Side(after, new), Side(before, old), is_output=True)


def _on_queue(name: str, old: Document, new: Document) -> Iterator[Break]:
    before, after = (_kind(each["operations"][name]) for each in (old, new))
    if before != after:
        yield Break(name, "", f"is a {after} now, was a {before}")
    if "security" in new["operations"][name] and "security" not in old["operations"][name]:
        yield Break(name, "", "needs an access token now")
    given, taken = (each["channels"][name]["messages"]["request"]["payload"] for each in (old, new))
    yield from _lost(name, "request", Side(given, old), Side(taken, new), is_output=False)
    had, has = (each["channels"][f"{name}.reply"]["messages"] for each in (old, new))
    was, now = _status(had["done"]), _status(has["done"])
    if was != now:
        yield Break(name, "", f"the success status is {now} now, was {was}")
    sent, read = Side(has["done"]["payload"], new), Side(had["done"]["payload"], old)
    yield from _lost(name, "reply", sent, read, is_output=True)
    yield from _refusals(name, had, has)


def _refusals(name: str, had: Document, has: Document) -> Iterator[Break]:
    """Changed refusals. A removed one is no loss. Callers know a refusal by its code, the author by its class."""
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
    """Code and status of each refusal, by its class."""
    found = {}
    for name, message in messages.items():
        if "allOf" in message["payload"]:
            declared = message["payload"]["allOf"][1]["properties"]
            found[name] = (declared["code"]["const"], declared["status"]["const"])
    return found


def _kind(operation: Document) -> str:
    if "tags" in operation:
        return str(operation["tags"][0]["name"])
    return "command" if operation["bindings"]["amqp"]["deliveryMode"] == PERSISTENT else "query"


def _status(message: Document) -> int:
    status: int = message["headers"]["properties"]["status"]["const"]
    return status


def _lost(name: str, where: str, given: Side, taken: Side, *, is_output: bool) -> Iterator[Break]:
    for loss in losses(given, taken, is_output=is_output):
        yield Break(name, f"{where} {loss.field}".rstrip(), loss.reason)
