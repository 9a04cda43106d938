"""Text: documents as JSON, the same for the same contract."""

import json
from decimal import Decimal
from typing import Any

import msgspec

from bus.contract.codec import encode_fields


def as_text(document: dict[str, Any]) -> str:
    """The document as it is printed, kept and served; amounts are numbers with their digits."""
    return msgspec.json.format(encode_fields(document), indent=2).decode() + "\n"


class NotADocument(ValueError):
    """Raised for a text that is none of our documents: it was damaged. Its keeper's to mend."""


def parse_document(text: str) -> dict[str, Any]:
    """Read a document, with the digits of its numbers. Raises NotADocument."""
    try:
        document = json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise NotADocument(f"This is no JSON: {error}.") from None
    if not isinstance(document, dict) or not document.keys() & {"openapi", "asyncapi"}:
        raise NotADocument("This is no such document.")
    return document
