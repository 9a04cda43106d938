"""The guide to a service: how to send it messages and listen to its events, for people to read."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec

from bus.contract.codec import encode_fields
from bus.contract.events import Event
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation, OperationKind
from bus.contract.refusals import Refusal
from bus.http.documents.description import Described, words
from bus.http.documents.examples import example_of
from bus.http.pages.field_words import FieldInWords, fields_in_words
from bus.http.pages.programs import Publisher, listener_of, publishers_of
from bus.messaging.replies import NO_CONTENT


@dataclass(frozen=True)
class OperationGuide:
    """An operation: what it does (`summary`, and `more` of it), its request and reply, and programs that send the
    request."""

    name: str
    kind: OperationKind
    summary: str
    more: str
    route: str
    status: int
    fields: tuple[FieldInWords, ...]
    example: str
    reply_fields: tuple[FieldInWords, ...]
    reply_example: str
    refusals: tuple[type[Refusal], ...]
    secrets: tuple[str, ...]
    needs: str
    publishers: tuple[Publisher, ...]


@dataclass(frozen=True)
class EventGuide:
    """An event: what happened, its fields, and a program that listens to it."""

    name: str
    summary: str
    more: str
    fields: tuple[FieldInWords, ...]
    example: str
    listener: str


@dataclass(frozen=True)
class Guide:
    """The operations of a service, those that every service has (`common`), and its events."""

    service: str
    summary: str
    operations: tuple[OperationGuide, ...]
    common: tuple[OperationGuide, ...]
    events: tuple[EventGuide, ...]


def guide_to(service: str, contract: ModuleType) -> Guide:
    """Make the guide from a contract. Connects to nothing."""
    described = Described(service, contract)
    return Guide(
        service,
        _summary(contract),
        tuple(map(_operation, described.declared)),
        tuple(_operation(each) for each in described.operations if each not in described.declared),
        tuple(map(_event, described.events)),
    )


def needs_of(operation: type[Operation[Any]]) -> str:
    """Whose request it must be; empty for anyone's."""
    if operation.field_scopes:
        needed = ", and ".join(
            f"one with the scope {scope} for {name}" for name, scope in operation.field_scopes.items()
        )
        return f"no access token, but {needed} (unless the service is open to everyone)"
    if operation.authentication != "required":
        return ""
    if not operation.required_scope:
        return "an access token"
    # The words of OpenAPI: a contract does not know whether its service is open.
    return f"an access token with the scope {operation.required_scope} (unless the service is open to everyone)"


def _operation(operation: type[Operation[Any]]) -> OperationGuide:
    example = example_of(operation)
    violations = inspect.getdoc(operation.violations) if operation.violations is not Operation.violations else None
    return OperationGuide(
        name=operation.operation_name,
        kind=operation.operation_kind,
        summary=_summary(operation),
        more=f"{_more(operation)} {violations or ''}".strip(),
        route=str(operation.http or ""),
        status=operation.success_status,
        fields=fields_in_words(operation),
        example=_json(example),
        reply_fields=fields_in_words(operation.reply_type),
        reply_example="" if operation.success_status == NO_CONTENT else _json(example_of(operation.reply_type)),
        refusals=tuple(operation.refusals.values()),
        secrets=tuple(sorted(secrets_of(operation))),
        needs=needs_of(operation),
        publishers=publishers_of(operation, example),
    )


def _event(event: type[Event]) -> EventGuide:
    example, listener = _json(example_of(event)), listener_of(event)
    return EventGuide(event.operation_name, _summary(event), _more(event), fields_in_words(event), example, listener)


def _summary(documented: object) -> str:
    """The first paragraph of a docstring."""
    return str(words(documented).get("summary", ""))


def _more(documented: object) -> str:
    return str(words(documented).get("description", ""))


def _json(fields: Mapping[str, object]) -> str:
    """JSON over several lines. Numbers keep their digits."""
    return msgspec.json.format(encode_fields(fields), indent=2).decode()
