"""The service that a document describes, and the document as text."""

import inspect
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from types import ModuleType
from typing import Any

import msgspec

from bus.contract.builtin import outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.codec import encode_fields
from bus.contract.events import Event, events_in
from bus.contract.identity import takes_secrets
from bus.contract.installed import version_of
from bus.contract.operations import Operation, operations_in

_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Described:
    """A service's name and contract."""

    name: str
    contract: ModuleType

    @property
    def declared(self) -> list[type[Operation[Any]]]:
        """The operations of the contract."""
        return operations_in(self.contract)

    @property
    def operations(self) -> list[type[Operation[Any]]]:
        """The operations that every service has, and then those of the contract."""
        own: list[type[Operation[Any]]] = [ping_of(self.name), outcome_query_of(self.name)]
        if any(map(takes_secrets, self.declared)):
            own.append(sealing_key_query_of(self.name))
        return [*own, *self.declared]

    @property
    def events(self) -> list[type[Event]]:
        """The events of the contract."""
        return events_in(self.contract)

    def info(self) -> dict[str, Any]:
        """The info object, with which both kinds of documents begin."""
        return {"title": self.name, "version": version_of(self.name), **words(self.contract)}


def words(declared: object) -> dict[str, Any]:
    """The first paragraph of a docstring as `summary`, and the rest as `description`."""
    summary, _, rest = (inspect.getdoc(declared) or "").partition("\n\n")
    found = {"summary": " ".join(summary.split()), "description": rest.strip()}
    return {name: text for name, text in found.items() if text}


def as_text(document: dict[str, Any]) -> str:
    """The JSON text of a document, as it is printed, stored and served. Numbers keep their digits.

    Characters beyond U+FFFF are escaped (RFC 8259, section 7): the invisible ones of patterns could not be read.
    """
    text = msgspec.json.format(encode_fields(document), indent=2).decode() + "\n"
    return _BEYOND_BMP.sub(lambda found: json.dumps(found[0]).strip('"'), text)


class NotADocument(ValueError):
    """Raised for a text that is not one of our documents. Write the document again."""


def parse_document(text: str) -> dict[str, Any]:
    """Read a document. Numbers keep their digits. Raises NotADocument."""
    try:
        document = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise NotADocument(f"Not JSON: {error}.") from None
    if not isinstance(document, dict) or not document.keys() & {"openapi", "asyncapi"}:
        raise NotADocument("Not an OpenAPI or AsyncAPI document: 'openapi' or 'asyncapi' is missing.")
    return document
